# A checkpoint as a service on a CPU: docs/howto/serve.md says how to build and run it.
FROM python:3.13-slim AS build
# address of PyTorch's CPU wheels; empty: the usual ones, with CUDA's libraries
ARG TORCH_INDEX=""
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# one resolved pair, before the rest, so that a change of the code does not fetch it again
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} 'torch>=2.11' 'torchvision>=0.26'
COPY pyproject.toml README.md LICENSE /source/
COPY conf /source/conf
COPY gender_lightning /source/gender_lightning
COPY hydra_plugins /source/hydra_plugins
RUN pip install --no-cache-dir '/source[serve]' && pip uninstall --yes --quiet pip  # a service installs nothing

FROM python:3.13-slim
COPY --from=build /opt/venv /opt/venv
RUN useradd --create-home --uid 10001 service
USER service
WORKDIR /home/service
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
# every interface of the container: what reaches it is for `docker run -p` to say
ENTRYPOINT ["gender-lightning", "serve", "checkpoint=/run/model", "host=0.0.0.0"]
