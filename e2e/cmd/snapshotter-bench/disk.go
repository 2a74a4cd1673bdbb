package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/disk"
	"golang.org/x/sys/unix"
)

const blockBytes = 1 << 20

// sharedDisk is the file system on which all peers have their directories.
type sharedDisk struct {
	directory string
	device    string
	dirty     int64
}

// sync writes back what is dirty, so that each round begins alike. Without a directory there is nothing to do.
func (s sharedDisk) sync() error {
	if s.directory == "" {
		return nil
	}
	opened, err := os.Open(s.directory)
	if err != nil {
		return err
	}
	defer opened.Close()
	if err := unix.Syncfs(int(opened.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", s.directory, err)
	}
	return nil
}

// counters of the device; all zero when nobody asked for them.
func (s sharedDisk) counters() (disk.Counters, error) {
	if s.device == "" {
		return disk.Counters{}, nil
	}
	return disk.ReadDeviceCounters(s.device)
}

func (s sharedDisk) dirtyFile() string {
	return filepath.Join(s.directory, "snapshotter-bench.dirty")
}

// makeDirty rewrites a file without syncing it, so that its pages are dirty whatever has written them back before.
func (s sharedDisk) makeDirty() error {
	if s.dirty == 0 {
		return nil
	}
	file, err := os.OpenFile(s.dirtyFile(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(writeZeros(file, s.dirty), file.Close())
}

func (s sharedDisk) removeDirty() error {
	if s.dirty == 0 {
		return nil
	}
	return os.Remove(s.dirtyFile())
}

func writeZeros(file *os.File, bytes int64) error {
	block := make([]byte, blockBytes)
	for left := bytes; left > 0; left -= blockBytes {
		if _, err := file.Write(block[:min(left, blockBytes)]); err != nil {
			return err
		}
	}
	return nil
}
