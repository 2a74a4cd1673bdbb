package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// peer is one of the snapshotters that are compared.
type peer struct {
	name        string
	snapshotter snapshots.Snapshotter
	connection  *grpc.ClientConn
	// prefix of all keys of this run, in the form in which containerd's metadata store sends them.
	prefix string
	// layers are the names of the committed chain, the base first.
	layers []string
}

func connect(flags peerFlags) ([]*peer, error) {
	if len(flags) == 0 {
		return nil, errors.New("at least one --peer is required")
	}
	var peers []*peer
	for _, flag := range flags {
		connection, err := grpc.NewClient("unix://"+flag.socket,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(
				grpc.MaxCallRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
				grpc.MaxCallSendMsgSize(defaults.DefaultMaxSendMsgSize)))
		if err != nil {
			disconnect(peers)
			return nil, fmt.Errorf("peer %s: %w", flag.name, err)
		}
		peers = append(peers, &peer{
			name:        flag.name,
			snapshotter: proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(connection), flag.name),
			connection:  connection,
			prefix:      fmt.Sprintf("bench/%d/", os.Getpid()),
		})
	}
	return peers, nil
}

func disconnect(peers []*peer) {
	for _, peer := range peers {
		// Nothing is lost with a connection that nobody uses any more.
		_ = peer.connection.Close()
	}
}

// onEach does something with one peer after the other; an error names the peer.
func onEach(flags peerFlags, do func(*peer) error) error {
	peers, err := connect(flags)
	if err != nil {
		return err
	}
	defer disconnect(peers)
	for _, peer := range peers {
		if err := do(peer); err != nil {
			return fmt.Errorf("%s: %w", peer.name, err)
		}
	}
	return nil
}

// filesPerLayer is what each layer of the chain brings.
const filesPerLayer = 10

// makeChain commits layers on top of each other, in the way in which containerd unpacks an image.
func (p *peer) makeChain(ctx context.Context, depth int) error {
	parent := ""
	for layer := range depth {
		name := fmt.Sprintf("%slayer-%d", p.prefix, layer)
		if err := p.makeLayer(ctx, layer, name, parent); err != nil {
			return fmt.Errorf("%s: layer %d: %w", p.name, layer, err)
		}
		p.layers = append(p.layers, name)
		parent = name
	}
	return nil
}

func (p *peer) makeLayer(ctx context.Context, layer int, name, parent string) error {
	key := fmt.Sprintf("%sextract-%d", p.prefix, layer)
	mounts, err := p.snapshotter.Prepare(ctx, key, parent)
	if err != nil {
		return err
	}
	err = mount.WithTempMount(ctx, mounts, func(root string) error {
		directory := filepath.Join(root, fmt.Sprintf("layer-%d", layer))
		if err := os.Mkdir(directory, 0o755); err != nil {
			return err
		}
		for file := range filesPerLayer {
			if err := os.WriteFile(filepath.Join(directory, fmt.Sprint(file)), []byte(name), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.snapshotter.Commit(ctx, name, key)
}

// top is the parent of what is measured.
func (p *peer) top() string {
	if len(p.layers) == 0 {
		return ""
	}
	return p.layers[len(p.layers)-1]
}

// removeChain removes what makeChain made.
func (p *peer) removeChain(ctx context.Context) error {
	for len(p.layers) > 0 {
		if err := p.snapshotter.Remove(ctx, p.top()); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		p.layers = p.layers[:len(p.layers)-1]
	}
	return p.cleanup(ctx)
}

// cleanup deletes what removed snapshots left, as containerd does after each garbage collection.
func (p *peer) cleanup(ctx context.Context) error {
	cleaner, ok := p.snapshotter.(snapshots.Cleaner)
	if !ok {
		return nil
	}
	if err := cleaner.Cleanup(ctx); err != nil && !errdefs.IsNotImplemented(err) {
		return fmt.Errorf("%s: cleanup: %w", p.name, err)
	}
	return nil
}

// withChains makes the chain of every peer, does something and removes the chains again.
func withChains(ctx context.Context, peers []*peer, depth int, do func() error) (err error) {
	// What was made must also go when this run was interrupted.
	removal := context.WithoutCancel(ctx)
	for _, peer := range peers {
		defer func() { err = errors.Join(err, peer.removeChain(removal)) }()
		if err := peer.makeChain(ctx, depth); err != nil {
			return err
		}
	}
	return do()
}
