package main

import (
	"fmt"
	"strings"
)

// medians makes one result of the rounds of one peer: the median of each figure.
func medians(rounds []cycleResult) cycleResult {
	summary := rounds[0]
	summary.Kind, summary.Round = "summary", 0
	summary.Rate = medianOf(rounds, func(r cycleResult) float64 { return r.Rate })
	summary.Stages = map[string]timing{}
	for _, name := range stageNames {
		summary.Stages[name] = timing{
			P50Milliseconds: medianOf(rounds, func(r cycleResult) float64 { return r.Stages[name].P50Milliseconds }),
			P99Milliseconds: medianOf(rounds, func(r cycleResult) float64 { return r.Stages[name].P99Milliseconds }),
		}
	}
	summary.Device = medianUse(rounds, func(r cycleResult) *deviceUse { return r.Device })
	summary.DeviceSettled = medianUse(rounds, func(r cycleResult) *deviceUse { return r.DeviceSettled })
	return summary
}

func medianOf(rounds []cycleResult, figure func(cycleResult) float64) float64 {
	values := make([]float64, 0, len(rounds))
	for _, round := range rounds {
		values = append(values, figure(round))
	}
	return median(values)
}

func medianUse(rounds []cycleResult, use func(cycleResult) *deviceUse) *deviceUse {
	if use(rounds[0]) == nil {
		return nil
	}
	return &deviceUse{
		MebibytesWritten: medianOf(rounds, func(r cycleResult) float64 { return use(r).MebibytesWritten }),
		Flushes:          medianOf(rounds, func(r cycleResult) float64 { return use(r).Flushes }),
	}
}

// text is the result as a line for people.
func (r cycleResult) text(what string) string {
	var line strings.Builder
	fmt.Fprintf(&line, "%-16s %2d callers, %s, %d cycles: cycle p50 %.2f p99 %.2f ms, %.0f/s; p50",
		r.Peer, r.Callers, what, r.Cycles, r.Stages["cycle"].P50Milliseconds, r.Stages["cycle"].P99Milliseconds, r.Rate)
	for _, name := range stageNames {
		if p50 := r.Stages[name].P50Milliseconds; name != "cycle" && (name != "write" || p50 >= 0.01) {
			fmt.Fprintf(&line, " %s %.2f", name, p50)
		}
	}
	for _, device := range []struct {
		when string
		use  *deviceUse
	}{{"until removed", r.Device}, {"settled", r.DeviceSettled}} {
		if device.use != nil {
			fmt.Fprintf(&line, "; %s %.2f MiB and %.1f flushes per cycle",
				device.when, device.use.MebibytesWritten, device.use.Flushes)
		}
	}
	return line.String()
}
