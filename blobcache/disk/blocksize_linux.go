package disk

import "syscall"

// blockSize is the unit that files grow by and statfs(2) counts in: on Linux the
// fragment, while f_bsize may be the size of an efficient transfer.
func blockSize(st *syscall.Statfs_t) int64 { return int64(st.Frsize) }
