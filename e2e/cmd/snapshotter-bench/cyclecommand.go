package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/disk"
)

type cycleSettings struct {
	peers    peerFlags
	callers  numbersFlag
	rounds   int
	cycles   int
	duration time.Duration
	layers   int
	work     string
	disk     sharedDisk
	load     load
	settle   time.Duration
}

// cycleResult is one round of one peer, or the medians of all rounds.
type cycleResult struct {
	Kind    string            `json:"kind"`
	Peer    string            `json:"peer"`
	Callers int               `json:"callers"`
	Round   int               `json:"round,omitempty"`
	Cycles  int               `json:"cycles"`
	Rate    float64           `json:"cycles_per_second"`
	Stages  map[string]timing `json:"stages"`
	// Device is what reached the device per cycle, until the last Remove and until the disk had settled.
	Device        *deviceUse `json:"device_per_cycle,omitempty"`
	DeviceSettled *deviceUse `json:"device_per_cycle_settled,omitempty"`
	// Ratios to the stock peer, in summaries.
	TimeRatio float64 `json:"cycle_p50_to_stock,omitempty"`
	RateRatio float64 `json:"rate_to_stock,omitempty"`
}

type deviceUse struct {
	MebibytesWritten float64 `json:"mib_written"`
	Flushes          float64 `json:"flushes"`
}

func runCycle(ctx context.Context, arguments []string) error {
	s := cycleSettings{callers: numbersFlag{1}}
	var dirty, bytes sizeFlag
	flags := flag.NewFlagSet("cycle", flag.ExitOnError)
	flags.Var(&s.peers, "peer", "NAME=SOCKET; may be repeated; ratios are to the peer called stock")
	flags.Var(&s.callers, "callers", "callers at a time; several numbers are measured one after the other")
	flags.IntVar(&s.rounds, "rounds", 3, "rounds, in each of which every peer has its turn")
	flags.IntVar(&s.cycles, "cycles", 200, "cycles of one peer in a round")
	flags.DurationVar(&s.duration, "duration", time.Minute, "bound on one peer's turn")
	flags.IntVar(&s.layers, "layers", 8, "layers below each upper")
	flags.StringVar(&s.work, "work", "", "directory to mount in; default a temporary one")
	flags.StringVar(&s.disk.directory, "disk", "", "directory on the disk of the peers: it is synced before each turn")
	flags.StringVar(&s.disk.device, "device", "", "block device of that disk: report what reaches it")
	flags.Var(&dirty, "dirty-bytes", "keep so much dirty in --disk, rewritten before each cycle")
	flags.Var(&bytes, "write-bytes", "write so much in each mounted upper")
	flags.IntVar(&s.load.fsyncs, "fsyncs", 0, "fsyncs in each mounted upper")
	flags.DurationVar(&s.settle, "settle", 0, "wait so long after a turn and count the device again")
	// ExitOnError: it does not return.
	_ = flags.Parse(arguments)
	s.disk.dirty, s.load.bytes = int64(dirty), int64(bytes)
	if flags.NArg() > 0 || s.rounds < 1 || s.cycles < 1 {
		return errors.New("only flags are taken, and --rounds and --cycles must be positive")
	}
	if s.disk.dirty > 0 && s.disk.directory == "" {
		return errors.New("--dirty-bytes needs --disk")
	}
	peers, err := connect(s.peers)
	if err != nil {
		return err
	}
	defer disconnect(peers)
	return withChains(ctx, peers, s.layers, func() error {
		for _, callers := range s.callers {
			if err := s.compare(ctx, peers, callers); err != nil {
				return err
			}
		}
		return nil
	})
}

// compare runs the rounds. Each round begins with another peer, so that none always inherits the disk of the same one.
func (s cycleSettings) compare(ctx context.Context, peers []*peer, callers int) error {
	results := map[string][]cycleResult{}
	for round := range s.rounds {
		for turn := range peers {
			peer := peers[(round+turn)%len(peers)]
			result, err := s.turn(ctx, peer, callers)
			if err != nil {
				return err
			}
			result.Round = round + 1
			results[peer.name] = append(results[peer.name], result)
			if err := report(result, "%s", result.text(fmt.Sprintf("round %d", result.Round))); err != nil {
				return err
			}
		}
	}
	summaries := map[string]cycleResult{}
	for name, rounds := range results {
		summaries[name] = medians(rounds)
	}
	stock, compared := summaries[stockPeer]
	for _, peer := range peers {
		summary := summaries[peer.name]
		text := summary.text("median")
		if compared {
			summary.TimeRatio = ratio(summary.Stages["cycle"].P50Milliseconds, stock.Stages["cycle"].P50Milliseconds)
			summary.RateRatio = ratio(summary.Rate, stock.Rate)
			text += fmt.Sprintf("; to stock: time x %.3f, rate x %.2f", summary.TimeRatio, summary.RateRatio)
		}
		if err := report(summary, "%s", text); err != nil {
			return err
		}
	}
	return nil
}

// turn measures one peer once.
func (s cycleSettings) turn(ctx context.Context, peer *peer, callers int) (result cycleResult, err error) {
	targets, remove, err := makeTargets(s.work, callers)
	if err != nil {
		return cycleResult{}, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	// Some cycles that do not count, for lazy initialization on both sides.
	warm := &runner{peer: peer, targets: targets}
	warm.cycles.Store(time.Now().UnixNano())
	if _, err := warm.batch(ctx, 2*callers, time.Now().Add(s.duration)); err != nil {
		return cycleResult{}, err
	}
	if err := peer.cleanup(ctx); err != nil {
		return cycleResult{}, err
	}
	if err := s.disk.sync(); err != nil {
		return cycleResult{}, err
	}

	measured := &runner{peer: peer, targets: targets, load: s.load}
	measured.cycles.Store(time.Now().UnixNano())
	before, err := s.disk.counters()
	if err != nil {
		return cycleResult{}, err
	}
	all, busy, err := s.batches(ctx, measured)
	if err != nil {
		return cycleResult{}, err
	}
	after, err := s.disk.counters()
	if err != nil {
		return cycleResult{}, err
	}
	cycles := len(all[stageCycle])
	if cycles == 0 {
		return cycleResult{}, fmt.Errorf("%s: no cycle within %s", peer.name, s.duration)
	}
	result = cycleResult{
		Kind: "round", Peer: peer.name, Callers: callers, Cycles: cycles,
		Rate: round(float64(cycles) / busy.Seconds()), Stages: map[string]timing{},
	}
	for stage, durations := range all {
		result.Stages[stageNames[stage]] = summarize(durations)
	}
	if s.disk.device != "" {
		result.Device = perCycle(after.Since(before), cycles)
	}
	if err := peer.cleanup(ctx); err != nil {
		return cycleResult{}, err
	}
	if s.disk.device != "" && s.settle > 0 {
		// What is measured is what the kernel writes within this time, so there is nothing to poll for.
		time.Sleep(s.settle)
		settled, err := s.disk.counters()
		if err != nil {
			return cycleResult{}, err
		}
		result.DeviceSettled = perCycle(settled.Since(before), cycles)
	}
	return result, s.disk.removeDirty()
}

// batches runs the cycles of a turn: all at once, or with the disk made dirty before each cycle of all callers.
func (s cycleSettings) batches(ctx context.Context, r *runner) (*samples, time.Duration, error) {
	deadline := time.Now().Add(s.duration)
	if s.disk.dirty == 0 {
		begun := time.Now()
		all, err := r.batch(ctx, s.cycles, deadline)
		return all, time.Since(begun), err
	}
	var all samples
	var busy time.Duration
	for left := s.cycles; left > 0 && time.Now().Before(deadline); left -= len(r.targets) {
		if err := s.disk.makeDirty(); err != nil {
			return nil, 0, err
		}
		begun := time.Now()
		some, err := r.batch(ctx, min(left, len(r.targets)), deadline)
		if err != nil {
			return nil, 0, err
		}
		busy += time.Since(begun)
		all.add(some)
	}
	return &all, busy, nil
}

func makeTargets(work string, callers int) ([]string, func() error, error) {
	directory, err := os.MkdirTemp(work, "snapshotter-bench-")
	if err != nil {
		return nil, nil, err
	}
	var targets []string
	for caller := range callers {
		target := filepath.Join(directory, fmt.Sprint(caller))
		if err := os.Mkdir(target, 0o700); err != nil {
			return nil, nil, err
		}
		targets = append(targets, target)
	}
	// Not RemoveAll: something that is still mounted must not be emptied.
	return targets, func() error {
		var failed error
		for _, path := range append(targets, directory) {
			failed = errors.Join(failed, os.Remove(path))
		}
		return failed
	}, nil
}

func perCycle(use disk.Counters, cycles int) *deviceUse {
	return &deviceUse{
		MebibytesWritten: round(float64(use.BytesWritten) / (1 << 20) / float64(cycles)),
		Flushes:          round(float64(use.Flushes) / float64(cycles)),
	}
}
