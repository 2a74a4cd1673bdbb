package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
)

type statResult struct {
	Kind       string  `json:"kind"`
	Peer       string  `json:"peer"`
	Snapshots  int     `json:"snapshots"`
	Committers int     `json:"committers"`
	Stats      int     `json:"stats"`
	Commits    int     `json:"commits"`
	Stat       timing  `json:"stat"`
	P99Ratio   float64 `json:"stat_p99_to_stock,omitempty"`
}

// runStat measures Stat while others commit layers.
func runStat(ctx context.Context, arguments []string) error {
	var peerList peerFlags
	flags := flag.NewFlagSet("stat", flag.ExitOnError)
	flags.Var(&peerList, "peer", "NAME=SOCKET; may be repeated; ratios are to the peer called stock")
	count := flags.Int("snapshots", 10_000, "snapshots (views) that are there")
	committers := flags.Int("committers", 2, "callers that prepare, commit and remove layers all the time")
	duration := flags.Duration("duration", 10*time.Second, "how long each peer is measured")
	// ExitOnError: it does not return.
	_ = flags.Parse(arguments)
	peers, err := connect(peerList)
	if err != nil {
		return err
	}
	defer disconnect(peers)
	return withChains(ctx, peers, 1, func() error {
		var results []statResult
		for _, peer := range peers {
			result, err := measureStat(ctx, peer, *count, *committers, *duration)
			if err != nil {
				return fmt.Errorf("%s: %w", peer.name, err)
			}
			results = append(results, result)
		}
		for _, result := range results {
			for _, stock := range results {
				if stock.Peer == stockPeer {
					result.P99Ratio = ratio(result.Stat.P99Milliseconds, stock.Stat.P99Milliseconds)
				}
			}
			if err := report(result, "%-16s Stat at %d snapshots while %d commit: p50 %.3f ms, p99 %.3f ms (%d stats, %d commits)",
				result.Peer, result.Snapshots, result.Committers, result.Stat.P50Milliseconds, result.Stat.P99Milliseconds,
				result.Stats, result.Commits); err != nil {
				return err
			}
		}
		return nil
	})
}

func measureStat(ctx context.Context, p *peer, count, committers int, duration time.Duration) (result statResult, err error) {
	views := make([]string, 0, count)
	defer func() {
		removal := context.WithoutCancel(ctx)
		for _, view := range views {
			err = errors.Join(err, p.snapshotter.Remove(removal, view))
		}
	}()
	for n := range count {
		key := fmt.Sprintf("%sview-%d", p.prefix, n)
		if _, err := p.snapshotter.View(ctx, key, p.top()); err != nil {
			return statResult{}, err
		}
		views = append(views, key)
	}

	deadline := time.Now().Add(duration)
	commits := make([]int, committers)
	failures := make([]error, committers)
	var group sync.WaitGroup
	for committer := range committers {
		group.Go(func() {
			for time.Now().Before(deadline) && failures[committer] == nil {
				commits[committer]++
				key := fmt.Sprintf("%sextract-%d-%d", p.prefix, committer, commits[committer])
				failures[committer] = commitOnce(ctx, p.snapshotter, key, p.top())
			}
		})
	}
	var durations []time.Duration
	for time.Now().Before(deadline) && err == nil {
		begun := time.Now()
		_, err = p.snapshotter.Stat(ctx, views[rand.IntN(len(views))])
		durations = append(durations, time.Since(begun))
	}
	group.Wait()
	if err := errors.Join(append(failures, err)...); err != nil {
		return statResult{}, err
	}
	result = statResult{
		Kind: "stat", Peer: p.name, Snapshots: count, Committers: committers, Stats: len(durations), Stat: summarize(durations),
	}
	for _, some := range commits {
		result.Commits += some
	}
	return result, nil
}

func commitOnce(ctx context.Context, snapshotter snapshots.Snapshotter, key, parent string) error {
	if _, err := snapshotter.Prepare(ctx, key, parent); err != nil {
		return err
	}
	if err := snapshotter.Commit(ctx, key+"-committed", key); err != nil {
		return err
	}
	return snapshotter.Remove(ctx, key+"-committed")
}
