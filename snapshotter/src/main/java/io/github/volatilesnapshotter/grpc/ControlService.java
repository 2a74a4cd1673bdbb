package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.proto.v1.BackupRequest;
import io.github.volatilesnapshotter.proto.v1.BackupResponse;
import io.github.volatilesnapshotter.proto.v1.ControlGrpc;
import io.github.volatilesnapshotter.snapshot.RecordsCopy;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.Semaphore;

/** This project's own service. Methods are called on the event loop and return at once. */
final class ControlService extends ControlGrpc.ControlImplBase {
    private final RecordsCopy records;
    private final Calls calls;

    /** Each has a file of its own, in memory where the runtime directory is. */
    private final Semaphore backups = new Semaphore(1);

    ControlService(RecordsCopy records, Calls calls) {
        this.records = records;
        this.calls = calls;
    }

    @Override
    public void backup(BackupRequest request, StreamObserver<BackupResponse> answer) {
        BackupStream stream = new BackupStream((ServerCallStreamObserver<BackupResponse>) answer, records, calls);
        stream.attach();
        if (!backups.tryAcquire()) {
            stream.refuse(Status.UNAVAILABLE.withDescription("another backup is being made; try again"));
            return;
        }
        calls.onLane(
                Rpc.BACKUP,
                Rpc.BACKUP.lane,
                () -> {
                    try {
                        stream.run();
                    } finally {
                        backups.release();
                    }
                },
                refusal -> {
                    backups.release();
                    stream.refuse(refusal);
                });
    }
}
