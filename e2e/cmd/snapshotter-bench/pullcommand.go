package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/image"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/relay"
)

const (
	stockSynced  = "stock-synced"
	connectBound = 30 * time.Second
	imageLease   = 24 * time.Hour
)

// pullResult is one unpack, or the medians of a contender's.
type pullResult struct {
	Kind      string  `json:"kind"`
	Contender string  `json:"contender"`
	Round     int     `json:"round,omitempty"`
	Dirty     bool    `json:"beside_dirty_containers"`
	Seconds   float64 `json:"seconds"`
	Commits   int     `json:"commits"`
	// As containerd's metadata store sees it, which holds its one write lock so long.
	LongestCommitMilliseconds float64 `json:"longest_commit_ms"`
	CommitsMilliseconds       float64 `json:"all_commits_ms"`
	// Of the whole machine.
	DirtyMebibytesBefore float64 `json:"dirty_mib_before"`
	DirtyMebibytesAfter  float64 `json:"dirty_mib_after"`
	// What reached the device between begin and end of the unpack.
	WrittenMebibytes float64 `json:"written_mib"`
	Flushes          uint64  `json:"flushes"`
	Ratio            float64 `json:"seconds_to_stock,omitempty"`
	RatioSynced      float64 `json:"seconds_to_stock_synced,omitempty"`
	RatioQuiet       float64 `json:"seconds_to_quiet,omitempty"`
}

// runPull measures the unpack of an image through a containerd whose proxy plugins are the peers, by their names. It sits
// between containerd and them.
func runPull(ctx context.Context, arguments []string) (err error) {
	var peerList peerFlags
	bulk := image.Bulk{Bytes: 1 << 30}
	dirty := sizeFlag(0)
	rate := sizeFlag(0)
	flags := flag.NewFlagSet("pull", flag.ExitOnError)
	flags.Var(&peerList, "peer", "NAME=SOCKET; may be repeated; the peer called stock is also measured with containerd's option sync-fs")
	address := flags.String("containerd", "", "socket of a containerd that has a proxy plugin of each peer's name (required)")
	relays := flags.String("relays", "", "directory in which the proxy plugins look for NAME.sock (required)")
	work := flags.String("work", "", "directory in which to mount (required)")
	directory := flags.String("disk", "", "directory on the peers' disk, synced before each turn (required)")
	device := flags.String("device", "", "block device below it (required)")
	rounds := flags.Int("rounds", 3, "rounds, each with one turn of each contender")
	containers := flags.Int("containers", 4, "containers that hold the dirty data")
	flags.Var(&dirty, "dirty-bytes", "what containers have written and not synced; each turn is then made without and with it")
	flags.Var(&rate, "rate", "bytes that are unpacked in a second; 0 for as fast as it goes")
	flags.Var((*sizeFlag)(&bulk.Bytes), "bytes", "size of the image")
	flags.IntVar(&bulk.Files, "files", 30_000, "files in the image")
	flags.IntVar(&bulk.Layers, "layers", 10, "layers of the image")
	flags.Uint64Var(&bulk.Seed, "seed", 1, "the same gives the same image")
	// ExitOnError: it does not return.
	_ = flags.Parse(arguments)
	if *address == "" || *relays == "" || *work == "" || *directory == "" || *device == "" || len(peerList) == 0 || *rounds < 1 {
		return errors.New("want --containerd, --relays, --work, --disk, --device and at least one --peer")
	}
	var contenders []*contender
	for _, peer := range peerList {
		between, err := relay.Serve(filepath.Join(*relays, peer.name+".sock"), peer.socket)
		if err != nil {
			return err
		}
		// Nobody asks any more.
		defer func() { _ = between.Close() }()
		contenders = append(contenders, &contender{name: peer.name, snapshotter: peer.name, relay: between})
		if peer.name == stockPeer {
			contenders = append(contenders, &contender{name: stockSynced, snapshotter: peer.name, relay: between, sync: true})
		}
	}
	connection, err := client.New(*address, client.WithTimeout(connectBound))
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	p := &puller{
		client: connection, work: *work, rate: int64(rate), containers: *containers,
		disk: sharedDisk{directory: *directory, device: *device},
	}
	ctx = namespaces.WithNamespace(ctx, "bench")
	lease, err := connection.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(imageLease))
	if err != nil {
		return err
	}
	// Waits for the collection: the next run may bring the same content.
	defer func() {
		deletion := connection.LeasesService().Delete(context.WithoutCancel(ctx), lease, leases.SynchronousDelete)
		err = errors.Join(err, deletion)
	}()
	ctx = leases.WithLease(ctx, lease.ID)
	if err := p.writeImage(ctx, bulk); err != nil {
		return err
	}
	uncompressed, compressed := p.imageBytes()
	if err := report(map[string]any{"kind": "image", "bytes": uncompressed, "compressed_bytes": compressed, "layers": len(p.layers)},
		"image: %d files, %d layers, %d MiB, compressed %d MiB", bulk.Files, len(p.layers), uncompressed>>20, compressed>>20); err != nil {
		return err
	}
	return p.measure(ctx, contenders, *rounds, int64(dirty))
}

func (p *puller) measure(ctx context.Context, contenders []*contender, rounds int, dirty int64) error {
	amounts := []int64{0}
	if dirty > 0 {
		amounts = append(amounts, dirty)
	}
	results := map[string][]pullResult{}
	for round := 1; round <= rounds; round++ {
		for _, amount := range amounts {
			for turn := range contenders {
				// Each goes first once.
				c := contenders[(turn+round-1)%len(contenders)]
				result, err := p.turn(ctx, c, amount)
				if err != nil {
					return err
				}
				result.Round = round
				results[key(c.name, amount > 0)] = append(results[key(c.name, amount > 0)], result)
				if err := report(result, "round %d  %s", round, result.line()); err != nil {
					return err
				}
			}
		}
	}
	summaries := map[string]pullResult{}
	for name, rounds := range results {
		summaries[name] = pullMedians(rounds)
	}
	for _, amount := range amounts {
		for _, c := range contenders {
			summary := summaries[key(c.name, amount > 0)]
			summary.Ratio = ratio(summary.Seconds, summaries[key(stockPeer, amount > 0)].Seconds)
			summary.RatioSynced = ratio(summary.Seconds, summaries[key(stockSynced, amount > 0)].Seconds)
			if amount > 0 {
				summary.RatioQuiet = ratio(summary.Seconds, summaries[key(c.name, false)].Seconds)
			}
			toQuiet := ""
			if amount > 0 {
				toQuiet = fmt.Sprintf(", to quiet %.2f", summary.RatioQuiet)
			}
			if err := report(summary, "median, of longest commits the longest  %s; to stock %.2f, to stock synced %.2f%s",
				summary.line(), summary.Ratio, summary.RatioSynced, toQuiet); err != nil {
				return err
			}
		}
	}
	return nil
}

func key(name string, dirty bool) string {
	return fmt.Sprint(name, dirty)
}

func (r pullResult) line() string {
	beside := "quiet"
	if r.Dirty {
		beside = "beside dirty containers"
	}
	return fmt.Sprintf("%-12s %-23s %6.2f s, longest commit %7.1f ms, all %d commits %7.1f ms, dirty %5.0f -> %5.0f MiB, written %5.0f MiB, %d flushes",
		r.Contender, beside, r.Seconds, r.LongestCommitMilliseconds, r.Commits, r.CommitsMilliseconds,
		r.DirtyMebibytesBefore, r.DirtyMebibytesAfter, r.WrittenMebibytes, r.Flushes)
}

// pullMedians has the median of each figure, and the longest commit of all rounds.
func pullMedians(rounds []pullResult) pullResult {
	figure := func(of func(pullResult) float64) float64 {
		values := make([]float64, 0, len(rounds))
		for _, round := range rounds {
			values = append(values, of(round))
		}
		return median(values)
	}
	summary := rounds[0]
	summary.Kind, summary.Round = "summary", 0
	summary.Seconds = figure(func(r pullResult) float64 { return r.Seconds })
	summary.CommitsMilliseconds = figure(func(r pullResult) float64 { return r.CommitsMilliseconds })
	summary.DirtyMebibytesBefore = figure(func(r pullResult) float64 { return r.DirtyMebibytesBefore })
	summary.DirtyMebibytesAfter = figure(func(r pullResult) float64 { return r.DirtyMebibytesAfter })
	summary.WrittenMebibytes = figure(func(r pullResult) float64 { return r.WrittenMebibytes })
	summary.Flushes = uint64(figure(func(r pullResult) float64 { return float64(r.Flushes) }))
	for _, round := range rounds {
		summary.LongestCommitMilliseconds = max(summary.LongestCommitMilliseconds, round.LongestCommitMilliseconds)
	}
	return summary
}
