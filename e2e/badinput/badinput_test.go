// Package badinput sends the daemon what no client should send, over its socket, and looks at the answer, the records and the disk.
package badinput

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/disk"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/mounts"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/sandbox"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/tools"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

const (
	maximumKeyBytes   = 4096
	maximumLabelBytes = 4096
	callBound         = 10 * time.Second
)

func TestMain(m *testing.M) {
	sandbox.Main(m)
}

// mistake is one request that a client should not make.
type mistake struct {
	name string
	call func(context.Context, snapshotsapi.SnapshotsClient) error
	code codes.Code
	// Each of these must be in the message: the key, and why.
	says []string
}

func prepare(key, parent string, labels map[string]string) func(context.Context, snapshotsapi.SnapshotsClient) error {
	return func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
		_, err := client.Prepare(ctx, &snapshotsapi.PrepareSnapshotRequest{Key: key, Parent: parent, Labels: labels})
		return err
	}
}

func commit(name, key, parent string) func(context.Context, snapshotsapi.SnapshotsClient) error {
	return func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
		_, err := client.Commit(ctx, &snapshotsapi.CommitSnapshotRequest{Name: name, Key: key, Parent: parent})
		return err
	}
}

func update(key string, paths ...string) func(context.Context, snapshotsapi.SnapshotsClient) error {
	return func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
		_, err := client.Update(ctx, &snapshotsapi.UpdateSnapshotRequest{
			Info:       &snapshotsapi.Info{Name: key},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
		})
		return err
	}
}

func list(filters ...string) func(context.Context, snapshotsapi.SnapshotsClient) error {
	return func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
		stream, err := client.List(ctx, &snapshotsapi.ListSnapshotsRequest{Filters: filters})
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
}

// keyed are the calls that name one snapshot.
func keyed(key string) map[string]func(context.Context, snapshotsapi.SnapshotsClient) error {
	return map[string]func(context.Context, snapshotsapi.SnapshotsClient) error{
		"Stat": func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
			_, err := client.Stat(ctx, &snapshotsapi.StatSnapshotRequest{Key: key})
			return err
		},
		"Mounts": func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
			_, err := client.Mounts(ctx, &snapshotsapi.MountsRequest{Key: key})
			return err
		},
		"Remove": func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
			_, err := client.Remove(ctx, &snapshotsapi.RemoveSnapshotRequest{Key: key})
			return err
		},
		"Usage": func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
			_, err := client.Usage(ctx, &snapshotsapi.UsageRequest{Key: key})
			return err
		},
		"Commit": commit("new name", key, ""),
		"Update": update(key),
	}
}

func mistakes() []mistake {
	all := []mistake{
		{"Prepare with an empty key", prepare("", "", nil), codes.InvalidArgument, []string{"key is empty"}},
		{"Prepare with a key that is too long", prepare(strings.Repeat("k", maximumKeyBytes+1), "", nil), codes.InvalidArgument,
			[]string{"4097 bytes", "4096"}},
		{"Prepare with a label over the limit", prepare("fresh", "", label(maximumLabelBytes+1)), codes.InvalidArgument,
			[]string{"4096", "greater than maximum"}},
		{"Prepare with a key that is taken", prepare("active", "", nil), codes.AlreadyExists, []string{"active"}},
		{"Prepare with the name of a layer", prepare("base", "", nil), codes.AlreadyExists, []string{"base"}},
		{"Prepare on a parent that does not exist", prepare("fresh", "nobody", nil), codes.NotFound, []string{"fresh", "nobody"}},
		{"Prepare on a parent that is active", prepare("fresh", "active", nil), codes.InvalidArgument,
			[]string{"active", "not committed"}},
		{"Commit without a name", commit("", "active", ""), codes.InvalidArgument, []string{"name is empty"}},
		{"Commit to a name that is taken", commit("base", "active", ""), codes.AlreadyExists, []string{"base"}},
		{"Commit of a view", commit("fresh", "view", ""), codes.FailedPrecondition, []string{"view", "active"}},
		{"Commit of a layer", commit("fresh", "base", ""), codes.FailedPrecondition, []string{"base", "active"}},
		{"Commit onto a parent that does not exist", commit("fresh", "active", "nobody"), codes.NotFound, []string{"nobody"}},
		{"Remove of a layer in use", keyed("base")["Remove"], codes.FailedPrecondition, []string{"cannot remove", "base"}},
		{"Mounts of a layer", keyed("base")["Mounts"], codes.FailedPrecondition, []string{"base", "committed"}},
		{"Update of the parent", update("active", "parent"), codes.InvalidArgument, []string{"active", "parent"}},
		{"Update of no label", update("active", "labels."), codes.InvalidArgument, []string{"labels."}},
		{"Update without a snapshot", func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
			_, err := client.Update(ctx, &snapshotsapi.UpdateSnapshotRequest{})
			return err
		}, codes.InvalidArgument, []string{"info is missing"}},
	}
	for _, filter := range []string{"kind===", "labels.", `name=="unclosed`, "==x", "a b"} {
		all = append(all, mistake{"List with the filter " + filter, list("kind==active", filter), codes.InvalidArgument, []string{"filters"}})
	}
	for method, call := range keyed("nobody") {
		all = append(all, mistake{method + " of an unknown key", call, codes.NotFound, []string{"nobody"}})
	}
	for method, call := range keyed("") {
		if method != "Update" {
			all = append(all, mistake{method + " of an empty key", call, codes.InvalidArgument, []string{"empty"}})
		}
	}
	return all
}

func label(bytes int) map[string]string {
	const name = "containerd.io/snapshot/filler"
	return map[string]string{name: strings.Repeat("v", bytes-len(name))}
}

func TestMistakesAreRefusedPreciselyAndChangeNothing(t *testing.T) {
	if daemon.IsStock() {
		t.Skip("the stock snapshotter has other messages")
	}
	server, client := serve(t)
	for _, step := range []func(context.Context, snapshotsapi.SnapshotsClient) error{
		prepare("extract-base", "", nil), commit("base", "extract-base", ""), prepare("active", "", nil),
		func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
			_, err := client.View(ctx, &snapshotsapi.ViewSnapshotRequest{Key: "view", Parent: "base"})
			return err
		},
	} {
		if err := bounded(step, client); err != nil {
			t.Fatal(err)
		}
	}
	before := state(t, server, client)

	for _, each := range mistakes() {
		t.Run(each.name, func(t *testing.T) {
			answer := status.Convert(bounded(each.call, client))
			if answer.Code() != each.code {
				t.Errorf("answered %s (%s), want %s", answer.Code(), answer.Message(), each.code)
			}
			for _, part := range each.says {
				if !strings.Contains(answer.Message(), part) {
					t.Errorf("%q does not say %q", answer.Message(), part)
				}
			}
			if after := state(t, server, client); !slices.Equal(before, after) {
				t.Errorf("records and directories were %v, and are %v", before, after)
			}
		})
	}
}

func TestWhatIsJustAtTheLimitIsAccepted(t *testing.T) {
	_, client := serve(t)
	key := strings.Repeat("k", maximumKeyBytes)
	if err := bounded(prepare(key, "", label(maximumLabelBytes)), client); err != nil {
		t.Fatal(err)
	}
	if err := bounded(keyed(key)["Remove"], client); err != nil {
		t.Fatal(err)
	}
}

// A caller that gives up leaves either the whole snapshot or nothing.
func TestCallsThatAreCancelledLeaveNothingHalfDone(t *testing.T) {
	server, client := serve(t)
	for i := range 200 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*20*time.Microsecond)
		err := prepare("cancelled", "", nil)(ctx, client)
		cancel()
		if code := status.Code(err); code != codes.OK && code != codes.DeadlineExceeded && code != codes.Canceled {
			t.Fatalf("round %d: %v", i, err)
		}
		// Whether it was made or not, the key can be used and removed again.
		if err := bounded(prepare("cancelled", "", nil), client); err != nil && status.Code(err) != codes.AlreadyExists {
			t.Fatalf("round %d: %v", i, err)
		}
		if err := bounded(keyed("cancelled")["Remove"], client); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
	if left := state(t, server, client); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// ext4 makes itself read-only when its journal fails; the mount option does the same.
func TestOnADiskThatTurnedReadOnlyChangesAreUnavailableAndReadingGoesOn(t *testing.T) {
	backing := disk.Make(t, "ext4")
	// Elsewhere, so that the daemon can tidy up: one that is killed leaves its trace in tracefs.
	state, err := os.MkdirTemp("", "e2e-state-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The sentinel stays mounted there.
		if err := errors.Join(mounts.UnmountAll(state), os.RemoveAll(state)); err != nil {
			t.Error(err)
		}
	})
	server := daemon.Start(t, daemon.Options{Root: filepath.Join(backing.Mountpoint, "root"), State: state})
	client := snapshotsapi.NewSnapshotsClient(server.Dial())
	for _, step := range []func(context.Context, snapshotsapi.SnapshotsClient) error{
		prepare("extract-base", "", nil), commit("base", "extract-base", ""), prepare("active", "base", nil),
	} {
		if err := bounded(step, client); err != nil {
			t.Fatal(err)
		}
	}
	tools.Run(t, "mount", "-o", "remount,abort", backing.Mountpoint)

	answer := status.Convert(bounded(prepare("fresh", "base", nil), client))
	if answer.Code() != codes.Unavailable || !strings.Contains(answer.Message(), "EROFS") {
		t.Errorf("Prepare answered %s: %s", answer.Code(), answer.Message())
	}
	// The layer can't be brought to disk: that is what a poisoned snapshot is.
	answer = status.Convert(bounded(commit("layer", "active", ""), client))
	if answer.Code() != codes.FailedPrecondition || !strings.Contains(answer.Message(), "active") {
		t.Errorf("Commit answered %s: %s", answer.Code(), answer.Message())
	}
	for _, key := range []string{"base", "active"} {
		if err := bounded(keyed(key)["Stat"], client); err != nil {
			t.Errorf("Stat of %s: %v", key, err)
		}
	}
	if code := status.Code(bounded(keyed("fresh")["Stat"], client)); code != codes.NotFound {
		t.Errorf("Stat of what was refused answered %s", code)
	}
}

func serve(t *testing.T) (*daemon.Daemon, snapshotsapi.SnapshotsClient) {
	backing := disk.Make(t, "ext4")
	server := daemon.Start(t, daemon.Options{
		Root:          filepath.Join(backing.Mountpoint, "root"),
		State:         filepath.Join(backing.Mountpoint, "state"),
		UnmountOnStop: true,
	})
	return server, snapshotsapi.NewSnapshotsClient(server.Dial())
}

func bounded(call func(context.Context, snapshotsapi.SnapshotsClient) error, client snapshotsapi.SnapshotsClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), callBound)
	defer cancel()
	return call(ctx, client)
}

// state is what the daemon has recorded, and the directories of its snapshots.
func state(t *testing.T, server *daemon.Daemon, client snapshotsapi.SnapshotsClient) []string {
	t.Helper()
	var all []string
	err := bounded(func(ctx context.Context, client snapshotsapi.SnapshotsClient) error {
		stream, err := client.List(ctx, &snapshotsapi.ListSnapshotsRequest{})
		if err != nil {
			return err
		}
		for {
			answer, err := stream.Recv()
			if err != nil {
				// The end of the stream is not a status.
				if _, isStatus := status.FromError(err); isStatus {
					return err
				}
				return nil
			}
			for _, info := range answer.Info {
				text, err := proto.MarshalOptions{Deterministic: true}.Marshal(info)
				if err != nil {
					return err
				}
				all = append(all, string(text))
			}
		}
	}, client)
	if err != nil {
		t.Fatal(err)
	}
	directories, err := os.ReadDir(filepath.Join(server.Root, "snapshots"))
	if err != nil {
		t.Fatal(err)
	}
	for _, directory := range directories {
		all = append(all, directory.Name())
	}
	slices.Sort(all)
	return all
}
