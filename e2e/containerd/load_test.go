package containerd

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/poll"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/relay"
	"google.golang.org/grpc/codes"
)

// loadDirectly appends to a file in the directory and calls fsync each time.
func loadDirectly(t *testing.T, directory string, count int) {
	t.Helper()
	file, err := os.Create(filepath.Join(directory, "load"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range count {
		if _, err := file.WriteString("some bytes\n"); err != nil {
			t.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(file.Name()); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) waitForCall(t *testing.T, method string) {
	t.Helper()
	err := poll.Until(waitBound, func() error {
		if f.relay.Calls()[relay.Call{Method: method, Code: codes.OK}] == 0 {
			return fmt.Errorf("no successful %s", method)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
