"""HTTP/1.1 for clients and upstreams: protocol, parser, client, connections."""
