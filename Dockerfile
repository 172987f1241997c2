# Breakwater in a container: one static program, certificate authorities to
# trust, and nothing else – no shell, no package manager, no user to log in as.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t breakwater .
#   docker run --read-only --network host -v ./config:/etc/breakwater:ro breakwater
#
# The host's network makes 127.0.0.1 the host's. With a published port, say who may
# pull: serve --listen :5000 --anonymous NETWORK, or an access mode in the file.

# The compiler runs on the builder's own platform and cross-compiles: Go needs
# no emulation for that, and CGO is off.
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src

# Modules are a layer of their own: they change less often than the code.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download

# The version is an argument, since the build context has no history to ask.
COPY . .
ARG VERSION=unknown
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/breakwater ./cmd/breakwater

FROM scratch

# Go looks here for the authorities that signed upstream's certificate. A
# private one is named in the configuration (ca_file) instead.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/breakwater /breakwater

# By number, because there is no /etc/passwd, and because Kubernetes'
# runAsNonRoot can prove a number only. The program writes nothing outside the
# folders that its configuration names, so the root may be read-only.
USER 65532:65532

# The registry, and the admin port (metrics, health). No HEALTHCHECK: it would
# need a client in the image, and orchestrators probe /healthz and /readyz.
EXPOSE 5000 9090

ENTRYPOINT ["/breakwater"]
CMD ["serve", "--config", "/etc/breakwater/config.yaml"]
