"""HTTP/1.1 for clients and upstreams: protocol, client, server-sent events."""
