package io.github.volatilesnapshotter.grpc;

import com.google.protobuf.ByteString;
import io.github.volatilesnapshotter.proto.v1.BackupResponse;
import io.github.volatilesnapshotter.snapshot.RecordsCopy;
import io.github.volatilesnapshotter.snapshot.SnapshotException;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** The answer to one Backup: pieces of the copy, sent only while the client takes them, by a thread that waits for it a bounded time. */
final class BackupStream {
    static final long STALL_MILLIS = 10_000;

    private static final int PIECE_BYTES = 64 << 10;

    private final ServerCallStreamObserver<BackupResponse> call;
    private final RecordsCopy records;
    private final Calls calls;
    private final long arrivedAtNanos = System.nanoTime();
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();

    BackupStream(ServerCallStreamObserver<BackupResponse> call, RecordsCopy records, Calls calls) {
        this.call = call;
        this.records = records;
        this.calls = calls;
    }

    /** Called on the event loop, within the service's method. */
    void attach() {
        call.setOnCancelHandler(this::signal);
        call.setOnReadyHandler(this::signal);
    }

    void refuse(Status status) {
        call.onError(status.asRuntimeException());
        calls.answered(Rpc.BACKUP, status, arrivedAtNanos);
    }

    @SuppressWarnings("CatchingUnchecked") // whatever happens, the client gets an answer
    void run() {
        try {
            send();
            call.onCompleted();
            calls.answered(Rpc.BACKUP, Status.OK, arrivedAtNanos);
        } catch (TimeoutException e) {
            refuse(Status.UNAVAILABLE.withDescription(e.getMessage()).withCause(e));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            refuse(Status.UNAVAILABLE
                    .withDescription("the snapshotter is stopping")
                    .withCause(e));
        } catch (IOException | SnapshotException | RuntimeException | Error failure) {
            refuse(calls.failed(Rpc.BACKUP, "", failure));
        }
    }

    private void send() throws SnapshotException, IOException, InterruptedException, TimeoutException {
        Path copy = records.make();
        try (InputStream content = Files.newInputStream(copy)) {
            byte[] piece = content.readNBytes(PIECE_BYTES);
            while (piece.length > 0 && awaitClient()) {
                call.onNext(BackupResponse.newBuilder()
                        .setData(ByteString.copyFrom(piece))
                        .build());
                piece = content.readNBytes(PIECE_BYTES);
            }
        } finally {
            Files.deleteIfExists(copy);
        }
    }

    /** False if the client has gone. */
    private boolean awaitClient() throws InterruptedException, TimeoutException {
        long leftNanos = TimeUnit.MILLISECONDS.toNanos(STALL_MILLIS);
        lock.lockInterruptibly();
        try {
            while (!call.isReady() && !call.isCancelled()) {
                if (leftNanos <= 0) {
                    throw new TimeoutException("the client read nothing of the backup for " + STALL_MILLIS + " ms");
                }
                leftNanos = changed.awaitNanos(leftNanos);
            }
            return !call.isCancelled();
        } finally {
            lock.unlock();
        }
    }

    private void signal() {
        lock.lock();
        try {
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
