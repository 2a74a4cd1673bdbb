package soak

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/poll"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/tools"
)

// The bound is longer than an idle thread lives, and than removed snapshots wait for their deletion.
const (
	settleBound = 90 * time.Second
	settlePause = 500 * time.Millisecond
	// A pool's thread that has nothing to do ends after ten seconds.
	idleThreads = 11 * time.Second
)

// Places in the list of figures.
const (
	openFiles = 0
	threads   = 1
	trash     = 7
)

// figure is one of those that must return to where they were.
type figure struct {
	name string
	unit string
	// more is how much more than before it may be: what caches, pools and a database's log keep.
	more float64
	read func(*soak) (float64, error)
}

var figures = []figure{
	{"open files", "", 3, func(s *soak) (float64, error) { return s.entries("fd") }},
	{"threads", "", 3, func(s *soak) (float64, error) { return s.entries("task") }},
	{"mounts", "", 0, func(s *soak) (float64, error) { return s.lines("mountinfo") }},
	{"heap after a collection", "MiB", 2, (*soak).heap},
	{"resident memory", "MiB", 16, (*soak).resident},
	{"records", "", 0, (*soak).records},
	{"directories of snapshots", "", 0, func(s *soak) (float64, error) { return entriesOf(s.root("snapshots")) }},
	{"trash", "", 0, func(s *soak) (float64, error) { return entriesOf(s.root("trash")) }},
	{"database and its log", "KiB", 1024, (*soak).database},
	{"files in the state directory", "", 0, func(s *soak) (float64, error) { return filesBelow(s.stateDirectory()) }},
}

// settled reads all figures: without those of before when threads and open files have not become less for a while, with them when
// all are back.
func (s *soak) settled(before *[]float64) []float64 {
	s.t.Helper()
	if cleaner, ok := s.client.(snapshots.Cleaner); ok {
		if err := cleaner.Cleanup(context.Background()); err != nil && !daemon.IsStock() {
			s.t.Error(err)
		}
	}
	var read, last []float64
	changed := time.Now()
	// A failure is told in the table.
	_ = poll.Until(settleBound, func() error {
		time.Sleep(settlePause)
		read = nil
		for n, figure := range figures {
			value, err := figure.read(s)
			if err != nil {
				s.t.Fatalf("%s: %v", figure.name, err)
			}
			read = append(read, value)
			if before != nil && value > (*before)[n]+figure.more {
				return fmt.Errorf("%s: %.1f, was %.1f", figure.name, value, (*before)[n])
			}
		}
		if last == nil || read[openFiles] != last[openFiles] || read[threads] != last[threads] || read[trash] != last[trash] {
			last, changed = read, time.Now()
		}
		if before == nil && time.Since(changed) < idleThreads {
			return fmt.Errorf("threads are %.0f", read[threads])
		}
		return nil
	})
	for n := len(read); n < len(figures); n++ {
		value, err := figures[n].read(s)
		if err != nil {
			s.t.Fatalf("%s: %v", figures[n].name, err)
		}
		read = append(read, value)
	}
	return read
}

func (s *soak) report(before, after []float64) {
	c := &s.counted
	s.t.Logf("%d containers, %d layers (%d committed), %d given up; %d poisoned, %d refused, %d episodes",
		c.containers.Load(), c.layers.Load(), c.committed.Load(), c.givenUp.Load(), c.poisoned.Load(), c.refused.Load(), c.episodes.Load())
	s.t.Logf("%-30s %10s %10s %10s", "", "before", "after", "may grow")
	for n, figure := range figures {
		verdict := ""
		if after[n] > before[n]+figure.more {
			verdict = "GROWN"
			s.t.Errorf("%s: %.1f %s, was %.1f", figure.name, after[n], figure.unit, before[n])
		}
		s.t.Logf("%-30s %10.1f %10.1f %10.1f %s %s", figure.name, before[n], after[n], figure.more, figure.unit, verdict)
	}
	if c.committed.Load() == 0 || c.episodes.Load() == 0 || (c.poisoned.Load() == 0 && *cycles >= 1_000) {
		s.t.Error("the load was not what it should be")
	}
	if s.t.Failed() {
		s.logLeft()
	}
}

func (s *soak) process(name string) string {
	return fmt.Sprintf("/proc/%d/%s", s.daemon.ProcessID(), name)
}

func (s *soak) entries(name string) (float64, error) {
	return entriesOf(s.process(name))
}

func entriesOf(directory string) (float64, error) {
	entries, err := os.ReadDir(directory)
	return float64(len(entries)), err
}

func (s *soak) lines(name string) (float64, error) {
	content, err := os.ReadFile(s.process(name))
	return float64(strings.Count(string(content), "\n")), err
}

func (s *soak) root(name string) string {
	return filepath.Join(s.daemon.Root, name)
}

func (s *soak) stateDirectory() string {
	return filepath.Dir(s.daemon.Socket)
}

func (s *soak) records() (float64, error) {
	count := 0
	err := s.client.Walk(context.Background(), func(context.Context, snapshots.Info) error {
		count++
		return nil
	})
	return float64(count), err
}

func (s *soak) database() (float64, error) {
	found, err := filepath.Glob(s.root("metadata.db*"))
	if err != nil {
		return 0, err
	}
	bytes := int64(0)
	for _, file := range found {
		information, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		bytes += information.Size()
	}
	return float64(bytes) / 1024, nil
}

// filesBelow does not go into other mounts: the sentinel is one.
func filesBelow(directory string) (float64, error) {
	count := 0
	err := filepath.WalkDir(directory, func(_ string, _ fs.DirEntry, err error) error {
		count++
		return err
	})
	return float64(count), err
}

var heapUsed = regexp.MustCompile(`used (\d+)K`)

// heap is what is in use after a full collection.
func (s *soak) heap() (float64, error) {
	if daemon.IsStock() {
		return 0, nil
	}
	home, err := exec.Command(filepath.Join(tools.ModuleDirectory(), "..", "deploy", "lib", "find-java")).Output()
	if err != nil {
		return 0, err
	}
	jcmd := filepath.Join(strings.TrimSpace(string(home)), "bin", "jcmd")
	id := strconv.Itoa(s.daemon.ProcessID())
	if output, err := exec.Command(jcmd, id, "GC.run").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, output)
	}
	output, err := exec.Command(jcmd, id, "GC.heap_info").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, output)
	}
	kibibytes := 0.0
	for line := range strings.Lines(string(output)) {
		// Of the metaspace nothing is collected here.
		if used := heapUsed.FindStringSubmatch(line); used != nil && strings.Contains(line, "total") {
			value, err := strconv.ParseFloat(used[1], 64)
			if err != nil {
				return 0, err
			}
			kibibytes += value
		}
	}
	if kibibytes == 0 {
		return 0, fmt.Errorf("no heap in %q", output)
	}
	return kibibytes / 1024, nil
}

func (s *soak) resident() (float64, error) {
	status, err := os.ReadFile(s.process("status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kibibytes, err := strconv.ParseFloat(fields[1], 64)
			return kibibytes / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmRSS in %q", status)
}

// logLeft names the snapshots that are there.
func (s *soak) logLeft() {
	err := s.client.Walk(context.Background(), func(_ context.Context, info snapshots.Info) error {
		s.t.Logf("left: %s, %s, %v", info.Name, info.Kind, info.Labels)
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
}
