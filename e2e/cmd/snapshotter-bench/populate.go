package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sync/errgroup"
)

const (
	populateCallers = 8
	layersPerImage  = 8
)

type populateResult struct {
	Kind    string  `json:"kind"`
	Peer    string  `json:"peer"`
	Layers  int     `json:"layers"`
	Views   int     `json:"views"`
	Actives int     `json:"actives"`
	Seconds float64 `json:"seconds"`
}

// runPopulate makes snapshots as a node has them that has run for long, and leaves them.
func runPopulate(ctx context.Context, arguments []string) error {
	var peerList peerFlags
	flags := flag.NewFlagSet("populate", flag.ExitOnError)
	flags.Var(&peerList, "peer", "NAME=SOCKET; may be repeated")
	images := flags.Int("images", 875, fmt.Sprintf("images of %d layers", layersPerImage))
	views := flags.Int("views", 2000, "views of images")
	actives := flags.Int("actives", 1000, "containers on images")
	// ExitOnError: it does not return.
	_ = flags.Parse(arguments)
	if *images < 1 {
		return errors.New("want one image at least")
	}
	return onEach(peerList, func(peer *peer) error {
		begun := time.Now()
		if err := populate(ctx, peer, *images, *views, *actives); err != nil {
			return err
		}
		taken := time.Since(begun)
		result := populateResult{
			Kind: "populate", Peer: peer.name, Layers: *images * layersPerImage, Views: *views, Actives: *actives,
			Seconds: round(taken.Seconds()),
		}
		return report(result, "%-16s %d layers, %d views and %d actives in %.1f s",
			peer.name, result.Layers, *views, *actives, taken.Seconds())
	})
}

func populate(ctx context.Context, peer *peer, images, views, actives int) error {
	group, whileAllSucceed := errgroup.WithContext(ctx)
	group.SetLimit(populateCallers)
	for image := range images {
		group.Go(func() error { return populateImage(whileAllSucceed, peer, image) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for n := range views {
		if _, err := peer.snapshotter.View(ctx, fmt.Sprintf("bench/%d/view", n), topOf(n%images)); err != nil {
			return err
		}
	}
	for n := range actives {
		if _, err := peer.snapshotter.Prepare(ctx, fmt.Sprintf("bench/%d/container", n), topOf(n%images)); err != nil {
			return err
		}
	}
	return nil
}

func layerName(image, layer int) string {
	return fmt.Sprintf("bench/%d/image-%d", layer, image)
}

func topOf(image int) string {
	return layerName(image, layersPerImage-1)
}

// populateImage writes straight into the uppers, as containerd's differ does.
func populateImage(ctx context.Context, peer *peer, image int) error {
	parent := ""
	for layer := range layersPerImage {
		key := fmt.Sprintf("bench/%d/extract-%d", layer, image)
		mounts, err := peer.snapshotter.Prepare(ctx, key, parent)
		if err != nil {
			return err
		}
		file := filepath.Join(upperOf(mounts), fmt.Sprintf("file-%d", layer))
		if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
			return err
		}
		parent = layerName(image, layer)
		if err := peer.snapshotter.Commit(ctx, parent, key); err != nil {
			return err
		}
	}
	return nil
}

// upperOf is the directory that becomes the layer.
func upperOf(mounts []mount.Mount) string {
	for _, option := range mounts[0].Options {
		if upper, found := strings.CutPrefix(option, "upperdir="); found {
			return upper
		}
	}
	return mounts[0].Source
}
