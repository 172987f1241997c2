// Package clientkit writes what registry clients need to pull by the names that they
// already use: the settings of Docker, containerd, of podman's family and of BuildKit.
//
// A [Mirror] is one listener of Breakwater as clients reach it. [Docker], [Containerd],
// [Podman] and [BuildKit] each make a [Snippet] of it: files to be pasted as they
// are, and remarks on what the client will do with them. They look at nothing but the
// Mirror, and write no secret: where one belongs, they leave a gap and say so.
//
// containerd's files are a tree, one folder for each registry. [Write] lays it down and
// [Remove] takes it away, without touching what somebody else wrote there.
package clientkit
