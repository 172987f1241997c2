// Package control is how an operator looks into a cache and takes things out of
// it, whether an instance is running on it or not; and has a running one explain how it
// would serve an image.
//
// [Cache] is all that can be asked, in one interface. A stopped cache is opened
// and asked itself. On a running one the instance does so for others: [Serve]
// answers on a Unix socket in the cache folder, and a [Client] from [Dial] is a
// Cache too, so that whoever asks need not know which it is.
//
// What travels is HTTP: a question is a path and its query, an answer JSON, and
// an answer that may be long is a stream of JSON lines that says when it is
// complete (stream.go). Who may connect is a matter of the file system alone: the
// socket has the mode 0600 from the moment at which it can be found (socket.go),
// so that is the user as whom Breakwater runs, and root.
package control
