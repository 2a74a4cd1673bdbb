package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/poll"
	"golang.org/x/sys/unix"
)

const (
	poisonedLabel = "containerd.io/snapshot/volatile.poisoned"
	seenBound     = 20 * time.Second
	healthyBound  = time.Minute
	dirtyBytes    = 64 << 10
	triedBytes    = 4 << 20
	// answersBefore the error: the client is one that asks all the time.
	answersBefore = 20
	// callersOfLive make and remove the live snapshots.
	callersOfLive = 8
)

type detectionSettings struct {
	peers       peerFlags
	live        numbersFlag
	errors      int
	cold        int
	layers      int
	disk        string
	faultyDisk  string
	log         string
	pause       time.Duration
	idle        time.Duration
	idleThreads bool
	command     []string
}

// detectionResult is what one error, or all of one kind, took from the kernel's trace event on.
type detectionResult struct {
	Kind string `json:"kind"`
	Live int    `json:"live_snapshots"`
	// Cold errors are each the first one after a start of the daemon.
	Cold   bool `json:"cold"`
	Errors int  `json:"errors"`
	// Record is measured while nobody asks, Label by a client that asks again and again, after a pause from each answer: what it tells is
	// longer than the truth by that much at most.
	Record *spread `json:"record,omitempty"`
	Label  *spread `json:"label,omitempty"`
}

type spread struct {
	timing
	MaxMilliseconds float64 `json:"max_ms"`
}

// spreadOf is nil where nothing was measured.
func spreadOf(durations []time.Duration) *spread {
	if len(durations) == 0 {
		return nil
	}
	return &spread{summarize(durations), milliseconds(quantile(durations, 1))}
}

func (s *spread) String() string {
	if s == nil {
		return "not measured"
	}
	return fmt.Sprintf("p50 %.2f p99 %.2f max %.2f ms", s.P50Milliseconds, s.P99Milliseconds, s.MaxMilliseconds)
}

// detected are the times of some errors.
type detected struct {
	record, label []time.Duration
}

func (d *detected) add(other detected) {
	d.record = append(d.record, other.record...)
	d.label = append(d.label, other.label...)
}

// runDetection measures how long after a failed writeback the daemon knows it.
func runDetection(ctx context.Context, arguments []string) (err error) {
	s := detectionSettings{live: numbersFlag{1, 100, 1000}}
	flags := flag.NewFlagSet("detection", flag.ExitOnError)
	flags.Var(&s.peers, "peer", "NAME=SOCKET of the daemon that is started, once")
	flags.Var(&s.live, "live", "live volatile snapshots; several numbers are measured one after the other")
	flags.IntVar(&s.errors, "errors", 50, "errors of each kind for each number of live snapshots, in one run of the daemon")
	flags.IntVar(&s.cold, "cold", 10, "starts of the daemon with one error each, for each number of live snapshots")
	flags.IntVar(&s.layers, "layers", 8, "layers below each upper")
	flags.StringVar(&s.faultyDisk, "faulty-disk", "", "the script deploy/lib/faulty-disk")
	flags.StringVar(&s.disk, "disk", "", "directory of a disk that this script has made, with the daemon's root on it")
	flags.StringVar(&s.log, "log", "", "file to which the daemon's log is appended")
	flags.DurationVar(&s.pause, "pause", time.Millisecond,
		"of the client that waits for the label, from an answer to the next question; with 0 it keeps two processors busy")
	flags.DurationVar(&s.idle, "idle", time.Minute, "at the end count the processor time that the idle daemon takes in this time; 0: do not")
	flags.BoolVar(&s.idleThreads, "idle-threads", false, "also that of each thread")
	// ExitOnError: it does not return.
	_ = flags.Parse(arguments)
	s.command = flags.Args()
	if len(s.peers) != 1 || len(s.command) == 0 || s.disk == "" || s.faultyDisk == "" || s.log == "" {
		return errors.New("want one --peer, --disk, --faulty-disk, --log and, after --, the command that starts the daemon")
	}
	var status unix.Stat_t
	if err := unix.Stat(filepath.Join(s.disk, "mnt"), &status); err != nil {
		return fmt.Errorf("stat %s/mnt: %w", s.disk, err)
	}
	trace, err := openErrorTrace(status.Dev)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trace.close()) }()
	for _, live := range s.live {
		if err := s.measure(ctx, trace, live); err != nil {
			return err
		}
	}
	if s.idle > 0 {
		return s.measureIdle(ctx, s.live[len(s.live)-1])
	}
	return nil
}

func (s detectionSettings) measure(ctx context.Context, trace *errorTrace, live int) error {
	var cold detected
	for range s.cold {
		some, err := s.oneStart(ctx, trace, live, 1)
		if err != nil {
			return err
		}
		cold.add(some)
	}
	if err := summarizeDetection(cold, live, true); err != nil {
		return err
	}
	all, err := s.oneStart(ctx, trace, live, 2*s.errors)
	if err != nil {
		return err
	}
	return summarizeDetection(all, live, false)
}

func summarizeDetection(all detected, live int, cold bool) error {
	if len(all.record) == 0 {
		return nil
	}
	r := detectionResult{
		Kind: "detection", Live: live, Cold: cold, Errors: len(all.record) + len(all.label),
		Record: spreadOf(all.record), Label: spreadOf(all.label),
	}
	what := "errors in one run"
	if cold {
		what = "first errors after a start"
	}
	return report(r, "%5d live, %3d %-26s: recorded %v; label seen %v", live, r.Errors, what, r.Record, r.Label)
}

// oneStart starts the daemon, makes errors and stops it.
func (s detectionSettings) oneStart(ctx context.Context, trace *errorTrace, live, count int) (all detected, err error) {
	d, err := startWatched(ctx, s.peers, s.command, s.log)
	if err != nil {
		return detected{}, err
	}
	defer d.stop()
	err = withChains(ctx, []*peer{d.peer}, s.layers, func() error {
		for n := range count {
			if err := ctx.Err(); err != nil {
				return err
			}
			one, err := s.oneError(ctx, d, trace, live, n, n%2 == 1)
			if err != nil {
				return err
			}
			all.add(one)
			r := detectionResult{
				Kind: "error", Live: live, Cold: n == 0, Errors: 1, Record: spreadOf(one.record), Label: spreadOf(one.label),
			}
			if err := report(r, "%5d live, error %d: recorded %v; label seen %v", live, n+1, r.Record, r.Label); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// oneError makes the live snapshots and lets a write to one of them fail, then removes them again. It measures the label if asks is
// true, else the record.
func (s detectionSettings) oneError(
	ctx context.Context, d *watchedDaemon, trace *errorTrace, live, n int, asks bool,
) (times detected, err error) {
	// Three errors within a minute count as a failing disk, which gets no volatile snapshots until it was quiet for five seconds.
	if err := poll.Until(healthyBound, d.healthy); err != nil {
		return detected{}, err
	}
	keys := make([]string, live)
	for number := range keys {
		keys[number] = fmt.Sprintf("%sdetection-%d-%d", d.peer.prefix, n, number)
	}
	defer func() {
		err = errors.Join(err, s.faulty("heal"), poll.Until(healthyBound, d.healthy))
		removal := context.WithoutCancel(ctx)
		err = errors.Join(err, inParallel(keys, func(key string) error { return d.peer.snapshotter.Remove(removal, key) }))
		err = errors.Join(err, d.peer.cleanup(removal))
	}()
	if err := inParallel(keys, func(key string) error {
		_, err := d.peer.snapshotter.Prepare(ctx, key, d.peer.top())
		return err
	}); err != nil {
		return detected{}, err
	}
	victim := keys[len(keys)/2]
	file, err := openVictim(ctx, d.peer, victim)
	if err != nil {
		return detected{}, err
	}
	defer file.Close()
	if err := errors.Join(s.faulty("fail"), trace.clear(), d.healthy()); err != nil {
		return detected{}, err
	}
	d.forgetPoison()
	seen, asking := make(chan labelSeen, 1), make(chan struct{})
	if asks {
		go func() { seen <- awaitLabel(ctx, d.peer, victim, s.pause, asking) }()
		select {
		case <-asking:
		case early := <-seen:
			return detected{}, fmt.Errorf("%s before its error: %w", victim, early.err)
		}
	} else {
		seen <- labelSeen{}
	}
	if err := failWriteback(file); err != nil {
		return detected{}, err
	}
	label := <-seen
	if label.err != nil {
		return detected{}, label.err
	}
	first, err := trace.first()
	if err != nil {
		return detected{}, err
	}
	var recorded time.Time
	if err := poll.Until(seenBound, func() error {
		recorded, err = d.poisoned()
		return err
	}); err != nil {
		return detected{}, err
	}
	if asks {
		return detected{label: []time.Duration{label.at - first}}, nil
	}
	// The log has the wall clock.
	recordedAt := monotonic() - time.Since(recorded.Local())
	return detected{record: []time.Duration{recordedAt - first}}, nil
}

func (s detectionSettings) faulty(verb string) error {
	if output, err := exec.Command(s.faultyDisk, verb, s.disk).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s %s: %w: %s", s.faultyDisk, verb, s.disk, err, output)
	}
	return nil
}

// openVictim makes a file in the upper of a volatile snapshot, below its overlay.
func openVictim(ctx context.Context, p *peer, key string) (*os.File, error) {
	mounts, err := p.snapshotter.Mounts(ctx, key)
	if err != nil {
		return nil, err
	}
	if len(mounts) != 1 || mounts[0].Type != "bind" {
		return nil, fmt.Errorf("%s is not volatile: %v", key, mounts)
	}
	return os.Create(filepath.Join(filepath.Dir(mounts[0].Source), "fs", "victim"))
}

// failWriteback makes pages dirty and has them written back. Not by fsync, which also commits the journal, and takes the error. Blocks that
// the disk had stored before, for a file that is deleted, are written once more without an error: then it takes others.
func failWriteback(file *os.File) error {
	for offset := int64(0); offset < triedBytes; offset += dirtyBytes {
		if _, err := file.WriteAt(make([]byte, dirtyBytes), offset); err != nil {
			return err
		}
		if err := unix.SyncFileRange(int(file.Fd()), offset, dirtyBytes,
			unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER); err != nil {
			return nil
		}
	}
	return errors.New("writes to a disk that fails have succeeded")
}

type labelSeen struct {
	at  time.Duration
	err error
}

// awaitLabel asks again a pause after it is answered. It closes asking once it was answered some times.
func awaitLabel(ctx context.Context, p *peer, key string, pause time.Duration, asking chan<- struct{}) labelSeen {
	deadline := time.Now().Add(seenBound)
	for answers := 0; time.Now().Before(deadline); answers++ {
		if answers == answersBefore {
			close(asking)
		}
		info, err := p.snapshotter.Stat(ctx, key)
		if err != nil {
			return labelSeen{err: err}
		}
		if info.Labels[poisonedLabel] != "" {
			return labelSeen{at: monotonic()}
		}
		time.Sleep(pause)
	}
	return labelSeen{err: fmt.Errorf("%s is not poisoned after %s", key, seenBound)}
}

// monotonic is the clock of the kernel's trace.
func monotonic() time.Duration {
	var now unix.Timespec
	// It cannot fail with a clock that every kernel has.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano())
}

func inParallel(keys []string, do func(string) error) error {
	var group sync.WaitGroup
	failures := make([]error, callersOfLive)
	for caller := range callersOfLive {
		group.Go(func() {
			for n := caller; n < len(keys); n += callersOfLive {
				failures[caller] = errors.Join(failures[caller], do(keys[n]))
			}
		})
	}
	group.Wait()
	return errors.Join(failures...)
}
