package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/sandbox"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	sandbox.Main(m)
}

func TestWritesFailUntilTheDiskIsHealed(t *testing.T) {
	// btrfs gives up for good after the first failed write of metadata.
	for _, filesystem := range []string{"ext4", "xfs"} {
		t.Run(filesystem, func(t *testing.T) {
			d := Make(t, filesystem)
			write(t, d, "before")
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
			if err := d.Fail(); err != nil {
				t.Fatal(err)
			}
			write(t, d, "during")
			if err := d.Sync(); !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EIO) {
				t.Errorf("sync of a failing disk: %v", err)
			}
			if err := d.Heal(); err != nil {
				t.Fatal(err)
			}
			write(t, d, "after")
			if err := d.Sync(); err != nil {
				t.Errorf("sync of a healed disk: %v", err)
			}
		})
	}
}

func TestCountersSeeFlushes(t *testing.T) {
	d := Make(t, "ext4")
	before, err := d.Counters()
	if err != nil {
		t.Fatal(err)
	}
	write(t, d, "flushed")
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	after, err := d.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if use := after.Since(before); use.Flushes == 0 || use.BytesWritten < fileBytes {
		t.Errorf("a sync of %d bytes was counted as %+v", fileBytes, use)
	}
}

const fileBytes = 16 << 20

func write(t *testing.T, d *Disk, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.Mountpoint, name), make([]byte, fileBytes), 0o600); err != nil {
		t.Fatal(err)
	}
}
