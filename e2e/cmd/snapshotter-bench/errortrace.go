package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// errorEvent is hit wherever the kernel sets the error state of a file and its superblock.
const errorEvent = "events/filemap/filemap_set_wb_err"

var errorLine = regexp.MustCompile(` (\d+)\.(\d{6}): filemap_set_wb_err: `)

// errorTrace is a tracefs instance of the benchmark's own: it says when the kernel noticed a failed writeback, whatever the daemon
// does with its own.
type errorTrace struct {
	tracefs, instance string
}

// openErrorTrace traces the errors of one superblock from now on, with timestamps of CLOCK_MONOTONIC.
func openErrorTrace(superblock uint64) (trace *errorTrace, err error) {
	tracefs, err := os.MkdirTemp("", "snapshotter-bench-tracefs-")
	if err != nil {
		return nil, err
	}
	if err := unix.Mount("tracefs", tracefs, "tracefs", 0, ""); err != nil {
		return nil, errors.Join(fmt.Errorf("mount tracefs: %w", err), os.Remove(tracefs))
	}
	trace = &errorTrace{tracefs, filepath.Join(tracefs, "instances", fmt.Sprintf("snapshotter-bench-%d", os.Getpid()))}
	defer func() {
		if err != nil {
			err = errors.Join(err, trace.close())
		}
	}()
	if err := os.Mkdir(trace.instance, 0o700); err != nil {
		return nil, err
	}
	// The kernel's dev_t has 20 bits for the minor number.
	device := uint64(unix.Major(superblock))<<20 | uint64(unix.Minor(superblock))
	for _, setting := range []struct{ file, value string }{
		{"trace_clock", "mono"},
		{errorEvent + "/filter", fmt.Sprintf("s_dev == %d", device)},
		{errorEvent + "/enable", "1"},
	} {
		if err := os.WriteFile(filepath.Join(trace.instance, setting.file), []byte(setting.value), 0); err != nil {
			return nil, err
		}
	}
	return trace, nil
}

// clear forgets what was traced so far.
func (t *errorTrace) clear() error {
	return os.WriteFile(filepath.Join(t.instance, "trace"), nil, 0)
}

// first is the CLOCK_MONOTONIC of the first error since clear, in whole microseconds, rounded down.
func (t *errorTrace) first() (time.Duration, error) {
	file, err := os.Open(filepath.Join(t.instance, "trace"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if match := errorLine.FindStringSubmatch(lines.Text()); match != nil {
			// The expression lets only digits through.
			seconds, _ := strconv.ParseInt(match[1], 10, 64)
			micros, _ := strconv.ParseInt(match[2], 10, 64)
			return time.Duration(seconds)*time.Second + time.Duration(micros)*time.Microsecond, nil
		}
	}
	return 0, errors.New("the kernel traced no failed writeback")
}

// close removes the instance, which would outlast this process.
func (t *errorTrace) close() error {
	err := os.Remove(t.instance)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, unix.Unmount(t.tracefs, 0), os.Remove(t.tracefs))
}
