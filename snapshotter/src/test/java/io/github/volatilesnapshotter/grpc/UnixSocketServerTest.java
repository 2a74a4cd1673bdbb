package io.github.volatilesnapshotter.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIOException;

import com.google.common.util.concurrent.ListenableFuture;
import com.google.common.util.concurrent.Uninterruptibles;
import com.google.protobuf.Empty;
import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.metrics.Scrapes;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.PrepareSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.RemoveSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.StatSnapshotRequest;
import io.github.volatilesnapshotter.snapshot.FakeSnapshotter;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class UnixSocketServerTest {
    @TempDir
    private Path directory;

    @Test
    void the_socket_is_only_for_its_owner() throws IOException {
        try (ServerFixture fixture = new ServerFixture(directory, new FakeSnapshotter())) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(fixture.socket)))
                    .isEqualTo("rw-------");
            assertThat(filesIn(directory)).containsExactly(fixture.socket);
        }
    }

    @Test
    void a_missing_directory_is_made_and_only_for_its_owner() throws IOException {
        Path missing = directory.resolve("a/b");

        try (ServerFixture _ = new ServerFixture(missing, new FakeSnapshotter())) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(missing)))
                    .isEqualTo("rwx------");
        }
    }

    @Test
    void a_stale_socket_is_replaced() throws IOException {
        listen(directory.resolve("test.sock")).close();
        assertThat(directory.resolve("test.sock")).exists();

        try (ServerFixture fixture = new ServerFixture(directory, new FakeSnapshotter())) {
            assertThat(statusOfStat(fixture)).isEqualTo(Status.Code.NOT_FOUND);
        }
    }

    @Test
    void a_socket_on_which_somebody_listens_is_left_alone() throws IOException {
        Path socket = directory.resolve("test.sock");
        try (ServerSocketChannel other = listen(socket)) {
            assertThatIOException()
                    .isThrownBy(() -> new ServerFixture(directory, new FakeSnapshotter()))
                    .withMessageContaining("another process listens there");

            connect(socket).close();
            assertThat(other.accept()).isNotNull();
        }
        assertThat(filesIn(directory)).containsExactly(socket);
    }

    @Test
    void a_file_that_is_no_socket_is_left_alone() throws IOException {
        Path file = Files.writeString(directory.resolve("test.sock"), "precious");

        assertThatIOException()
                .isThrownBy(() -> new ServerFixture(directory, new FakeSnapshotter()))
                .withMessageContaining("is no socket");

        assertThat(file).hasContent("precious");
    }

    @Test
    void a_path_that_the_kernel_cannot_take_is_refused_with_its_length() {
        Path deep = directory.resolve("d".repeat(120));

        assertThatIOException()
                .isThrownBy(() -> new ServerFixture(deep, new FakeSnapshotter()))
                .withMessageContaining("at most 107 bytes");
        assertThat(deep).doesNotExist();
    }

    @Test
    void a_stop_removes_the_socket() throws Exception {
        try (ServerFixture fixture = new ServerFixture(directory, new FakeSnapshotter())) {
            assertThat(fixture.stop(1_000)).isTrue();

            assertThat(filesIn(directory)).isEmpty();
        }
    }

    @Test
    void a_stop_leaves_the_socket_of_a_successor() throws Exception {
        try (ServerFixture fixture = new ServerFixture(directory, new FakeSnapshotter())) {
            Files.delete(fixture.socket);
            try (ServerSocketChannel _ = listen(fixture.socket)) {
                fixture.stop(1_000);

                assertThat(fixture.socket).exists();
            }
        }
    }

    @Test
    void a_peer_whose_uid_is_not_allowed_is_closed_unheard_and_counted() throws IOException {
        Config.Grpc onlyOthers = new Config.Grpc(Set.of(ServerFixture.ownUid() + 1), 1, 1, 60_000, 0);
        try (ServerFixture fixture = new ServerFixture(directory, new FakeSnapshotter(), onlyOthers)) {
            try (SocketChannel peer = connect(fixture.socket)) {
                assertThat(peer.read(ByteBuffer.allocate(1))).isEqualTo(-1);
            }

            assertThat(Scrapes.of(fixture.metrics)).contains("volatile_snapshotter_peers_rejected_total 1.0");
            assertThat(statusOfStat(fixture)).isEqualTo(Status.Code.UNAVAILABLE);
        }
    }

    @Test
    void a_message_over_sixteen_mebibytes_is_refused() throws IOException {
        try (ServerFixture fixture = new ServerFixture(directory, new FakeSnapshotter())) {
            assertThatExceptionOfType(StatusRuntimeException.class)
                    .isThrownBy(() -> SnapshotsGrpc.newBlockingStub(fixture.connect())
                            .prepare(PrepareSnapshotRequest.newBuilder()
                                    .setKey("k".repeat(17 << 20))
                                    .build()))
                    .satisfies(e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED));
        }
    }

    @Test
    void a_stop_lets_running_calls_finish() throws Exception {
        RemoveThatWaits snapshotter = new RemoveThatWaits();
        try (ServerFixture fixture = new ServerFixture(directory, snapshotter)) {
            ListenableFuture<Empty> running = remove(fixture);
            snapshotter.begun.await();

            Thread releasing = Thread.ofPlatform().start(() -> {
                Uninterruptibles.awaitUninterruptibly(snapshotter.begun);
                snapshotter.release.countDown();
            });
            boolean answered = fixture.stop(20_000);

            releasing.join();
            assertThat(answered).isTrue();
            assertThat(running.get()).isEqualTo(Empty.getDefaultInstance());
        }
    }

    @Test
    void a_stop_cancels_calls_that_outlast_it() throws Exception {
        RemoveThatWaits snapshotter = new RemoveThatWaits();
        try (ServerFixture fixture = new ServerFixture(directory, snapshotter)) {
            ListenableFuture<Empty> running = remove(fixture);
            snapshotter.begun.await();

            assertThat(fixture.stop(50)).isFalse();

            assertThat(running).failsWithin(java.time.Duration.ofSeconds(10));
            snapshotter.release.countDown();
        }
    }

    private static final class RemoveThatWaits extends FakeSnapshotter {
        final CountDownLatch begun = new CountDownLatch(1);
        final CountDownLatch release = new CountDownLatch(1);

        @Override
        public void remove(String key) {
            begun.countDown();
            Uninterruptibles.awaitUninterruptibly(release);
        }
    }

    private static ListenableFuture<Empty> remove(ServerFixture fixture) {
        return SnapshotsGrpc.newFutureStub(fixture.connect())
                .remove(RemoveSnapshotRequest.newBuilder().setKey("a").build());
    }

    private static Status.Code statusOfStat(ServerFixture fixture) {
        try {
            SnapshotsGrpc.newBlockingStub(fixture.connect())
                    .stat(StatSnapshotRequest.newBuilder().setKey("nobody").build());
            return Status.Code.OK;
        } catch (StatusRuntimeException e) {
            return e.getStatus().getCode();
        }
    }

    private static ServerSocketChannel listen(Path socket) throws IOException {
        ServerSocketChannel channel = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        channel.bind(UnixDomainSocketAddress.of(socket));
        return channel;
    }

    private static SocketChannel connect(Path socket) throws IOException {
        return SocketChannel.open(UnixDomainSocketAddress.of(socket));
    }

    private static Set<Path> filesIn(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return Set.copyOf(files.toList());
        }
    }
}
