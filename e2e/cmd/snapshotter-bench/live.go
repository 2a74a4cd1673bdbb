package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
)

// livePrefix is the same in every run, so that a later run can remove what an earlier one left.
const livePrefix = "bench/live/"

type liveResult struct {
	Kind      string  `json:"kind"`
	Peer      string  `json:"peer"`
	Snapshots int     `json:"snapshots"`
	Seconds   float64 `json:"seconds"`
}

// runLive makes active snapshots and leaves them, or removes them again.
func runLive(ctx context.Context, arguments []string) error {
	var peerList peerFlags
	flags := flag.NewFlagSet("live", flag.ExitOnError)
	flags.Var(&peerList, "peer", "NAME=SOCKET; may be repeated")
	count := flags.Int("snapshots", 1000, "active snapshots to make and leave")
	layers := flags.Int("layers", 8, "layers below them")
	remove := flags.Bool("remove", false, "remove what an earlier run left")
	// ExitOnError: it does not return.
	_ = flags.Parse(arguments)
	return onEach(peerList, func(peer *peer) error {
		begun := time.Now()
		peer.prefix = livePrefix
		kind, number := "live", *count
		var err error
		if *remove {
			kind = "live-removed"
			number, err = removeLive(ctx, peer)
		} else {
			err = makeLive(ctx, peer, *count, *layers)
		}
		if err != nil {
			return err
		}
		taken := time.Since(begun)
		result := liveResult{Kind: kind, Peer: peer.name, Snapshots: number, Seconds: round(taken.Seconds())}
		return report(result, "%-16s %s: %d snapshots in %.2f s", peer.name, kind, number, taken.Seconds())
	})
}

func makeLive(ctx context.Context, peer *peer, count, layers int) error {
	if err := peer.makeChain(ctx, layers); err != nil {
		return err
	}
	for n := range count {
		if _, err := peer.snapshotter.Prepare(ctx, fmt.Sprintf("%scontainer-%d", peer.prefix, n), peer.top()); err != nil {
			return err
		}
	}
	return nil
}

// removeLive removes everything with the prefix, children before their parents, and returns how many active ones there were.
func removeLive(ctx context.Context, peer *peer) (int, error) {
	var actives []string
	children := map[string]string{}
	err := peer.snapshotter.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		switch {
		case !strings.HasPrefix(info.Name, livePrefix):
		case info.Kind == snapshots.KindCommitted:
			children[info.Parent] = info.Name
		default:
			actives = append(actives, info.Name)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	var failed error
	for _, key := range actives {
		failed = errors.Join(failed, peer.snapshotter.Remove(ctx, key))
	}
	for layer := children[""]; layer != ""; layer = children[layer] {
		peer.layers = append(peer.layers, layer)
	}
	return len(actives), errors.Join(failed, peer.removeChain(ctx))
}
