package soak

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/tools"
	"golang.org/x/sys/unix"
)

// faultyDisk is made by deploy/lib/faulty-disk: its journal and inode tables go on working while it fails, so that an ext4 does not give
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

// sync writes back what is dirty.
func (d *faultyDisk) sync() error {
	opened, err := os.Open(d.mountpoint())
	if err != nil {
		return err
	}
	defer opened.Close()
	return unix.Syncfs(int(opened.Fd()))
}
