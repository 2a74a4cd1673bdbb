package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is USER_HZ, which is the same on all architectures that Go knows.
const ticksPerSecond = 100

type idleResult struct {
	Kind         string  `json:"kind"`
	Live         int     `json:"live_snapshots"`
	Seconds      float64 `json:"seconds"`
	CPUSeconds   float64 `json:"cpu_seconds"`
	CorePercent  float64 `json:"core_percent"`
	ResidentMB   float64 `json:"resident_mb"`
	AnonymousMB  float64 `json:"anonymous_mb"`
	LoadAverages string  `json:"load_averages"`
}

// measureIdle counts the processor time of a daemon that has live snapshots and nothing to do.
func (s detectionSettings) measureIdle(ctx context.Context, live int) error {
	d, err := startWatched(ctx, s.peers, s.command, s.log)
	if err != nil {
		return err
	}
	defer d.stop()
	return withChains(ctx, []*peer{d.peer}, s.layers, func() error {
		keys := make([]string, live)
		for n := range keys {
			keys[n] = fmt.Sprintf("%sidle-%d", d.peer.prefix, n)
		}
		defer func() {
			_ = inParallel(keys, func(key string) error { return d.peer.snapshotter.Remove(context.WithoutCancel(ctx), key) })
		}()
		if err := inParallel(keys, func(key string) error {
			_, err := d.peer.snapshotter.Prepare(ctx, key, d.peer.top())
			return err
		}); err != nil {
			return err
		}
		return s.count(ctx, d, live)
	})
}

func (s detectionSettings) count(ctx context.Context, d *watchedDaemon, live int) error {
	process := fmt.Sprintf("/proc/%d", d.command.Process.Pid)
	// What is measured is this time; a moment before it, so that making the snapshots is over.
	if err := pause(ctx, s.idle/12); err != nil {
		return err
	}
	before, err := processorTimes(process)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := pause(ctx, s.idle); err != nil {
		return err
	}
	after, err := processorTimes(process)
	if err != nil {
		return err
	}
	seconds := time.Since(begun).Seconds()
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	status, err := os.ReadFile(process + "/status")
	if err != nil {
		return err
	}
	used := float64(after[process]-before[process]) / ticksPerSecond
	result := idleResult{
		Kind: "idle", Live: live, Seconds: round(seconds), CPUSeconds: used, CorePercent: round(100 * used / seconds),
		ResidentMB: statusMB(string(status), "VmRSS:"), AnonymousMB: statusMB(string(status), "RssAnon:"),
		LoadAverages: strings.Join(strings.Fields(string(load))[:3], " "),
	}
	if s.idleThreads {
		for path, ticks := range after {
			if name, err := os.ReadFile(path + "/comm"); err == nil && ticks > before[path] {
				fmt.Fprintf(os.Stderr, "  %6d ms %s\n", (ticks-before[path])*1000/ticksPerSecond, strings.TrimSpace(string(name)))
			}
		}
	}
	return report(result, "%5d live, idle for %.0f s: %.2f s of processor time, %.2f %% of a core; resident %.1f MB, of it anonymous %.1f MB; load %s",
		live, seconds, used, result.CorePercent, result.ResidentMB, result.AnonymousMB, result.LoadAverages)
}

func pause(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(duration):
		return nil
	}
}

// processorTimes are the ticks in user and kernel mode of a process and of each of its threads, by their directories in /proc.
func processorTimes(process string) (map[string]int64, error) {
	threads, err := filepath.Glob(process + "/task/*")
	if err != nil {
		return nil, err
	}
	times := map[string]int64{}
	for _, path := range append(threads, process) {
		content, err := os.ReadFile(path + "/stat")
		if err != nil {
			// A thread that has just ended.
			continue
		}
		// The name, in parentheses, may hold anything; what follows are numbers, proc_pid_stat(5).
		text := string(content)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		user, userErr := strconv.ParseInt(fields[11], 10, 64)
		system, systemErr := strconv.ParseInt(fields[12], 10, 64)
		if userErr != nil || systemErr != nil {
			return nil, fmt.Errorf("%s/stat: %q", path, text)
		}
		times[path] = user + system
	}
	if _, found := times[process]; !found {
		return nil, fmt.Errorf("%s has ended", process)
	}
	return times, nil
}

func statusMB(status, field string) float64 {
	_, rest, _ := strings.Cut(status, field)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseFloat(fields[0], 64)
	return round(kib / 1024)
}
