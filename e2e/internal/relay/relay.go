// Package relay passes gRPC calls on from one unix socket to another and keeps a record of them.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Call is a method, without its service, and how a call of it ended.
type Call struct {
	Method string
	Code   codes.Code
}

// Event is one call, in the order in which calls began.
type Event struct {
	Method string
	// Request is the message as it was on the wire.
	Request []byte
	Begun   time.Time
	// Ended is zero while the call runs.
	Ended time.Time
}

// Relay is a running relay.
type Relay struct {
	upstream *grpc.ClientConn
	server   *grpc.Server
	ended    chan error

	mutex  sync.Mutex
	calls  map[Call]int
	events []*Event
}

// Start serves on a socket until the test ends.
func Start(t testing.TB, socket, upstreamSocket string) *Relay {
	t.Helper()
	relay, err := Serve(socket, upstreamSocket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := relay.Close(); err != nil {
			t.Errorf("relay on %s: %v", socket, err)
		}
	})
	return relay
}

// Serve serves on a socket until Close.
func Serve(socket, upstreamSocket string) (*Relay, error) {
	upstream, err := grpc.NewClient("unix://"+upstreamSocket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// As containerd does it, so that a restarted snapshotter is found again soon.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{
			BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, MaxDelay: 3 * time.Second,
		}}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{})))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, errors.Join(err, upstream.Close())
	}
	relay := &Relay{upstream: upstream, calls: map[Call]int{}, ended: make(chan error, 1)}
	relay.server = grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(relay.handle))
	go func() { relay.ended <- relay.server.Serve(listener) }()
	return relay, nil
}

// Close ends the calls that run, and the relay.
func (r *Relay) Close() error {
	r.server.Stop()
	err := <-r.ended
	if errors.Is(err, grpc.ErrServerStopped) {
		err = nil
	}
	return errors.Join(err, r.upstream.Close())
}

// Calls returns how often each call was made.
func (r *Relay) Calls() map[Call]int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return maps.Clone(r.calls)
}

// Requests returns the requests of a method so far, as they were on the wire.
func (r *Relay) Requests(method string) [][]byte {
	var requests [][]byte
	for _, event := range r.Events() {
		if event.Method == method {
			requests = append(requests, event.Request)
		}
	}
	return requests
}

// Events returns the calls so far.
func (r *Relay) Events() []Event {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	events := make([]Event, 0, len(r.events))
	for _, event := range r.events {
		events = append(events, *event)
	}
	return events
}

func (r *Relay) begin(method string, request []byte) *Event {
	event := &Event{Method: path.Base(method), Request: request, Begun: time.Now()}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.events = append(r.events, event)
	return event
}

func (r *Relay) end(event *Event) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	event.Ended = time.Now()
}

func (r *Relay) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	err := r.forward(method, stream)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.calls[Call{Method: path.Base(method), Code: status.Code(err)}]++
	return err
}

// forward passes on one request and any number of answers, which is all that the Snapshots service has.
func (r *Relay) forward(method string, stream grpc.ServerStream) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	if headers, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, headers)
	}
	upstream, err := r.upstream.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return err
	}
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	event := r.begin(method, message)
	defer r.end(event)
	if err := upstream.SendMsg(&message); err != nil {
		return err
	}
	if err := upstream.CloseSend(); err != nil {
		return err
	}
	for {
		var answer []byte
		if err := upstream.RecvMsg(&answer); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(&answer); err != nil {
			return err
		}
	}
}

// bytesCodec leaves messages as they are on the wire.
type bytesCodec struct{}

func (bytesCodec) Name() string {
	return "proto"
}

func (bytesCodec) Marshal(value any) ([]byte, error) {
	message, ok := value.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("not a message as bytes: %T", value)
	}
	return *message, nil
}

func (bytesCodec) Unmarshal(data []byte, value any) error {
	message, ok := value.(*[]byte)
	if !ok {
		return fmt.Errorf("not a message as bytes: %T", value)
	}
	// The buffer belongs to gRPC and is used again.
	*message = append([]byte(nil), data...)
	return nil
}
