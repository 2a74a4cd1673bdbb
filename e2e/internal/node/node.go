// Package node puts together what a node has: a disk, the snapshotter on it and a containerd that uses it.
package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/poll"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/tools"
)

const (
	// Namespace is the containerd namespace of everything that tests make.
	Namespace = "e2e"
	// Runtime is the only one that both releases have.
	Runtime = "io.containerd.runc.v2"
	// Snapshotter is the name of the proxy plugin.
	Snapshotter = "volatile"
	// StockSnapshotter is containerd's own, built into it.
	StockSnapshotter = "overlayfs"

	startBound   = 30 * time.Second
	stopBound    = 30 * time.Second
	commandBound = 2 * time.Minute
	logTail      = 8 << 10
)

// Containerd is a running containerd with directories and sockets of its own.
type Containerd struct {
	// Address is its socket.
	Address string
	Release Release

	t         testing.TB
	directory string
	command   *exec.Cmd
	ended     chan struct{}
}

// Prepare chooses the directories and the socket of a containerd, so that a snapshotter can be told before it runs.
func Prepare(t testing.TB, release Release) *Containerd {
	t.Helper()
	// Paths of unix sockets are limited to 107 bytes, and t.TempDir uses the test's name.
	directory, err := os.MkdirTemp("", "e2e-containerd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(directory); err != nil {
			t.Error(err)
		}
	})
	return &Containerd{
		Address:   filepath.Join(directory, "containerd.sock"),
		Release:   release,
		t:         t,
		directory: directory,
		ended:     make(chan struct{}),
	}
}

// Start starts containerd with the snapshotter at a socket as its proxy plugin. It ends with the test, after everything that
// was made in it.
func (c *Containerd) Start(snapshotterSocket, snapshotterRoot string) {
	c.t.Helper()
	var configuration bytes.Buffer
	values := configurationValues{c.directory, snapshotterSocket, snapshotterRoot, c.Release.Unpacks}
	if err := c.Release.configuration.Execute(&configuration, values); err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(c.directory, "config.toml")
	if err := os.WriteFile(file, configuration.Bytes(), 0o600); err != nil {
		c.t.Fatal(err)
	}
	log, err := os.Create(c.logFile())
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()

	c.command = exec.Command(filepath.Join(c.Release.directory, "containerd"), "--config", file)
	c.command.Env = tools.Environment(c.Release.directory)
	c.command.Stdout, c.command.Stderr = log, log
	if err := c.command.Start(); err != nil {
		c.t.Fatalf("start containerd %s: %v", c.Release.Name, err)
	}
	go func() {
		// What it ended with is looked up in ProcessState.
		_ = c.command.Wait()
		close(c.ended)
	}()
	c.t.Cleanup(c.stop)
	if err := poll.Until(startBound, c.serves); err != nil {
		c.t.Fatalf("containerd %s does not serve: %v", c.Release.Name, err)
	}
}

func (c *Containerd) logFile() string {
	return filepath.Join(c.directory, "containerd.log")
}

func (c *Containerd) serves() error {
	select {
	case <-c.ended:
		c.t.Fatalf("containerd %s ended: %s\n%s", c.Release.Name, c.command.ProcessState, c.log())
	default:
	}
	connection, err := client.New(c.Address, client.WithTimeout(time.Second))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err = connection.Version(ctx)
	return err
}

func (c *Containerd) stop() {
	if c.t.Failed() {
		c.t.Logf("log of containerd %s:\n%s", c.Release.Name, c.log())
	}
	select {
	case <-c.ended:
		c.t.Errorf("containerd %s ended by itself: %s", c.Release.Name, c.command.ProcessState)
		return
	default:
	}
	if err := c.clear(); err != nil {
		c.t.Errorf("clear containerd %s: %v", c.Release.Name, err)
	}
	removeControlGroups()
	if err := c.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.t.Errorf("stop containerd %s: %v", c.Release.Name, err)
	}
	select {
	case <-c.ended:
	case <-time.After(stopBound):
		c.t.Errorf("containerd %s did not stop within %s\n%s", c.Release.Name, stopBound, c.log())
		// It is waited for below.
		_ = c.command.Process.Kill()
		<-c.ended
	}
}

// clear ends and deletes the containers that a failed test left, because their shims would outlive containerd.
func (c *Containerd) clear() error {
	connection, err := client.New(c.Address, client.WithTimeout(startBound))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), Namespace), stopBound)
	defer cancel()
	containers, err := connection.Containers(ctx)
	if err != nil {
		return err
	}
	for _, container := range containers {
		if task, err := container.Task(ctx, nil); err == nil {
			if _, err := task.Delete(ctx, client.WithProcessKill); err != nil {
				return fmt.Errorf("delete task %s: %w", container.ID(), err)
			}
		}
		if err := container.Delete(ctx); err != nil {
			return fmt.Errorf("delete container %s: %w", container.ID(), err)
		}
	}
	return nil
}

// removeControlGroups removes the group that is the parent of all containers of the namespace, in each hierarchy. Another run
// of the tests may still need it; then it is not empty, and stays.
func removeControlGroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/" + Namespace, "/sys/fs/cgroup/*/" + Namespace} {
		// The pattern is well formed.
		groups, _ := filepath.Glob(pattern)
		for _, group := range groups {
			_ = os.Remove(group)
		}
	}
}

// log returns the end of containerd's log.
func (c *Containerd) log() string {
	content, err := os.ReadFile(c.logFile())
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-logTail):])
}

// Client is a client of this containerd, and a context with the tests' namespace. Both end with the test.
func (c *Containerd) Client(t testing.TB) (context.Context, *client.Client) {
	t.Helper()
	connection, err := client.New(c.Address, client.WithTimeout(startBound))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), Namespace), commandBound)
	t.Cleanup(cancel)
	return ctx, connection
}

// TryCtr runs the release's own ctr.
func (c *Containerd) TryCtr(arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandBound)
	defer cancel()
	arguments = append([]string{"--address", c.Address, "--namespace", Namespace}, arguments...)
	command := exec.CommandContext(ctx, filepath.Join(c.Release.directory, "ctr"), arguments...)
	command.Env = append(tools.Environment(c.Release.directory), "CONTAINERD_SNAPSHOTTER="+Snapshotter)
	var output, complaint bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaint
	if err := command.Run(); err != nil {
		return output.String(), fmt.Errorf("ctr %s: %w\n%s%s",
			strings.Join(arguments, " "), err, output.String(), complaint.String())
	}
	return output.String(), nil
}

// Ctr runs the release's own ctr and fails the test when it fails.
func (c *Containerd) Ctr(t testing.TB, arguments ...string) string {
	t.Helper()
	output, err := c.TryCtr(arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}
