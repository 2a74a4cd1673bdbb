// Package sandbox runs a test program in a mount namespace of its own.
//
// Whatever a test mounts is then invisible to the rest of the machine. When the test program ends, even by a panic, whatever
// it started is ended too, and with the last process the mounts are gone.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const entered = "E2E_SANDBOX_ENTERED"

// containerd mounts with short paths by changing the directory of a thread and throwing the thread away. The first thread of a
// process cannot be thrown away: it would stay in that directory and keep the mount busy. So tests must never run on it.
func init() {
	runtime.LockOSThread()
}

// Main is the body of a TestMain.
func Main(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "FAIL: these tests mount file systems and must be run as root")
		os.Exit(1)
	}
	if os.Getenv(entered) == "" {
		os.Exit(enter())
	}
	if err := privateRuntimeDirectory(); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func enter() int {
	// Daemons that lose their parent become children of this process, so that it can end them.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: cannot become a subreaper:", err)
		return 1
	}
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Env = append(os.Environ(), entered+"=1")
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	// Go also makes every mount of the new namespace private.
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	if err := command.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: cannot start the tests in their own mount namespace:", err)
		return 1
	}
	go func() {
		for received := range signals {
			// The process may have ended by itself a moment ago.
			_ = command.Process.Signal(received)
		}
	}()
	err := command.Wait()
	endOrphans()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: the tests ended with", err)
		return 1
	}
	return 0
}

// endOrphans ends what the test program left behind. Each round may uncover children of those that it ends.
func endOrphans() {
	for {
		content, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
		if err != nil {
			fmt.Fprintln(os.Stderr, "cannot look for processes that the tests left:", err)
			return
		}
		children := strings.Fields(string(content))
		if len(children) == 0 {
			return
		}
		for _, child := range children {
			pid, err := strconv.Atoi(child)
			if err != nil {
				fmt.Fprintln(os.Stderr, "not a process id:", child)
				return
			}
			// Most have ended before and only need to be waited for.
			_ = unix.Kill(pid, unix.SIGKILL)
			_, _ = unix.Wait4(pid, nil, 0, nil)
		}
	}
}

// privateRuntimeDirectory hides /run/containerd, where containerd's shims and clients put sockets and pipes whatever the
// configuration says.
func privateRuntimeDirectory() error {
	const directory = "/run/containerd"
	if err := os.MkdirAll(directory, 0o711); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "mode=711,size=64m"); err != nil {
		return fmt.Errorf("mount a private %s: %w", directory, err)
	}
	return nil
}
