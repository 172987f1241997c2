//go:build unix && !linux

package disk

import "syscall"

// blockSize is the unit that files grow by and statfs(2) counts in.
func blockSize(st *syscall.Statfs_t) int64 { return int64(st.Bsize) }
