// Command snapshotter-bench measures snapshotters behind sockets, side by side. See e2e/README.md for its flags.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// containerd mounts with short paths by changing the directory of a thread and throwing the thread away. The first thread of a
// process cannot be thrown away: it would stay in that directory and keep the mount busy. So nothing else may run on it.
func init() {
	runtime.LockOSThread()
}

// subcommands by name. Each takes the rest of the command line.
var subcommands = map[string]func(context.Context, []string) error{
	"cycle":     runCycle,
	"stat":      runStat,
	"live":      runLive,
	"pull":      runPull,
	"populate":  runPopulate,
	"start":     runStart,
	"detection": runDetection,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "snapshotter-bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) > 0 {
		if subcommand, ok := subcommands[arguments[0]]; ok {
			return subcommand(ctx, arguments[1:])
		}
	}
	names := make([]string, 0, len(subcommands))
	for name := range subcommands {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Errorf("want one of %s; each has --help", strings.Join(names, ", "))
}
