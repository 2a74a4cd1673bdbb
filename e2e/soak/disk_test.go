package soak

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/tools"
	"golang.org/x/sys/unix"
)

// faultyDisk is made by deploy/lib/faulty-disk: what its file system has of its own goes on working while it fails, so that it does not give
// up in one of many episodes.
type faultyDisk struct {
	t         testing.TB
	directory string
}

func makeFaultyDisk(t testing.TB, filesystem string) *faultyDisk {
	t.Helper()
	directory, err := os.MkdirTemp("", "e2e-soak-disk-")
	if err != nil {
		t.Fatal(err)
	}
	d := &faultyDisk{t: t, directory: directory}
	t.Cleanup(func() {
		if err := d.run("destroy"); err != nil {
			t.Error(err)
		}
	})
	if err := d.run("create", filesystem); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *faultyDisk) mountpoint() string {
	return filepath.Join(d.directory, "mnt")
}

func (d *faultyDisk) run(command string, arguments ...string) error {
	script := filepath.Join(tools.ModuleDirectory(), "..", "deploy", "lib", "faulty-disk")
	output, err := exec.Command(script, append([]string{command, d.directory}, arguments...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("faulty-disk %s: %w: %s", command, err, output)
	}
	return nil
}

// What one episode loses, and how many of that there are.
const (
	lostBytes   = 1 << 20
	mostReserve = 200
)

func (d *faultyDisk) reserve(episode int) string {
	return filepath.Join(d.mountpoint(), fmt.Sprintf("reserve-%d", episode))
}

// makeReserves allocates, on a new file system, what episodes will lose. The blocks are never written before, and the file system changes
// nothing else for them: new blocks of its own that it can't write would make an ext4 give up.
func (d *faultyDisk) makeReserves(count int) error {
	if count > mostReserve {
		return fmt.Errorf("at most %d episodes", mostReserve)
	}
	for episode := range count {
		file, err := os.Create(d.reserve(episode))
		if err != nil {
			return err
		}
		if err := errors.Join(unix.Fallocate(int(file.Fd()), 0, 0, lostBytes), file.Close()); err != nil {
			return fmt.Errorf("fallocate %s: %w", file.Name(), err)
		}
	}
	return d.sync()
}

// loseWrite writes what will not reach the disk while it fails.
func (d *faultyDisk) loseWrite(episode int) error {
	file, err := os.OpenFile(d.reserve(episode), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(make([]byte, lostBytes))
	return errors.Join(err, file.Close())
}

// sync writes back what is dirty.
func (d *faultyDisk) sync() error {
	opened, err := os.Open(d.mountpoint())
	if err != nil {
		return err
	}
	defer opened.Close()
	return unix.Syncfs(int(opened.Fd()))
}
