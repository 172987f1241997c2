package config

import (
	"fmt"
	"os"
	"path/filepath"
)

// LoadCache returns what the file at path says of the cache. It opens no other
// file: whoever looks after a cache need not be able to read the passwords. If
// path is "" it is the usual cache in dir, or where it is if dir is "" too; a
// relative dir is taken from the working directory. An error is always a
// [Problems].
func LoadCache(path, dir string) (Cache, error) {
	r := newReport(path, flagPaths)
	if path == "" {
		c := Default()
		c.Cache.Dir = rooted(dir)
		c.Cache.complete(r)
		c.Cache.validate(r)
		c, err := r.result(c)
		return c.Cache, err
	}
	data, m := readDocument(path)
	if m != nil {
		r.problem(document, m.message, m.fix)
		return Cache{}, r.problems
	}
	c, err := Parse(path, data)
	return c.Cache, err
}

// complete finds a folder where none was written.
func (c *Cache) complete(r *report) {
	if c.Dir != "" {
		return
	}
	if _, written := r.lines["cache.dir"]; written {
		r.problem("cache.dir", "is empty", "name a folder, or leave the line out for the folder breakwater in the user's cache folder")
		return
	}
	c.Default = true
	folder, err := os.UserCacheDir()
	if err != nil || !filepath.IsAbs(folder) {
		r.warn("cache.dir", "is missing, and the environment names no home that could hold the cache: content is kept in memory only, and is gone after a stop",
			"name a folder, such as /var/lib/breakwater")
		return
	}
	c.Dir = filepath.Join(folder, "breakwater")
}

func (c Cache) validate(r *report) {
	r.wrong("cache.dir", absolute(c.Dir))
	if filepath.Clean(c.Dir) == "/" {
		r.problem("cache.dir", "is the root of the file system, and the cache takes its folder for itself", "name a folder of Breakwater's own, such as /var/lib/breakwater")
	}
	if c.MaxSize < minCache {
		r.problem("cache.max_size", fmt.Sprintf("%s is too small to hold an image", c.MaxSize), fmt.Sprintf("write at least %s", minCache))
	}
	if c.Memory < minMemory {
		r.problem("cache.memory", fmt.Sprintf("%s is too small to hold a manifest", c.Memory), fmt.Sprintf("write at least %s", minMemory))
	}
	within(r, "cache.lock_wait", c.LockWait, 0, maxLockWait)
}
