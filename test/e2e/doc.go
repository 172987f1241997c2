// Package e2e pulls through the real program with real clients.
//
// Every test starts a world of its own: the Harbor stand-in with private
// content, the program bin/breakwater in front of it with a robot's password in
// a file, and a tap between the clients and the program. crane, skopeo, a
// Docker daemon, curl and the OCI conformance test then pull as a person
// without an account would, and the digests are compared with what was pushed.
//
// The cache's tests go on from there: clients pull again warm and with Harbor down;
// the program is killed, started again and started twice on one folder; its disk is
// filled and fails, and its files are damaged under it; an operator looks into it and
// takes things out. Whatever happens, each byte that came is compared with what was
// pushed, and the folder with what the program says of it.
//
// The tests on access have a Breakwater that asks its clients who they are, by each mode:
// Docker, podman, skopeo, crane and containerd log in, with passwords, tokens,
// certificates and accounts of Harbor's own, and pull; who may not is refused, in words
// that the client shows. Everything that was written and said is then searched for what
// they proved themselves with, and each refusal is to be found in the log and the metrics.
//
// The mirror's tests have a Breakwater with routes. Docker, two containerds, BuildKit, podman,
// buildah, skopeo, crane, regctl and oras are told what `breakwater client-config` prints, and
// pull by the names that images always had: cold, warm and with Harbor down, in parts and
// whole. The only other way to a registry is a proxy that lets nobody through and hears who
// tries, so that no pull can have come from elsewhere; and Harbor's log is searched for
// requests that it should not have been sent.
//
// When a test ends its world is taken down, and what must hold for every run is
// checked there: the program ends on SIGTERM with status 0, each line that it
// wrote is a JSON object, and no password, token or cookie is in its log, on
// its metrics page or in any answer that crossed the tap.
//
// The tests have the build tag e2e; `make e2e` installs and builds what they
// need and runs them.
package e2e
