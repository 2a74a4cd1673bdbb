package main

import (
	"math"
	"slices"
	"time"
)

// timing is what is reported of a series of durations.
type timing struct {
	P50Milliseconds float64 `json:"p50_ms"`
	P99Milliseconds float64 `json:"p99_ms"`
}

func summarize(durations []time.Duration) timing {
	slices.Sort(durations)
	return timing{
		P50Milliseconds: milliseconds(quantile(durations, 0.50)),
		P99Milliseconds: milliseconds(quantile(durations, 0.99)),
	}
}

// quantile of sorted durations, by nearest rank.
func quantile(sorted []time.Duration, fraction float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(fraction * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

func milliseconds(duration time.Duration) float64 {
	return round(float64(duration) / float64(time.Millisecond))
}

// round leaves what can be told apart.
func round(value float64) float64 {
	return math.Round(value*10_000) / 10_000
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return round((sorted[middle-1] + sorted[middle]) / 2)
}

func ratio(value, base float64) float64 {
	if base == 0 {
		return 0
	}
	return round(value / base)
}
