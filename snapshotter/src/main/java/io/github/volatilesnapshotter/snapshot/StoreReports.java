package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.ERROR;
import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.metadata.Durability;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.StoreObserver;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.metrics.Metrics.RebuildOutcome;
import java.io.IOException;
import java.util.concurrent.TimeUnit;

/** What the store does, in metrics; and in the log, one line for each change of its state. */
final class StoreReports implements StoreObserver {
    private static final System.Logger LOG = System.getLogger(StoreReports.class.getName());

    private final Metrics metrics;

    StoreReports(Metrics metrics) {
        this.metrics = metrics;
    }

    @Override
    public void written(Durability durability, long waitedNanos, long tookNanos) {
        Metrics.Durability label = switch (durability) {
            case DURABLE -> Metrics.Durability.DURABLE;
            case ORDERED -> Metrics.Durability.ORDERED;
        };
        metrics.transactionTook(label, waitedNanos, tookNanos);
    }

    @Override
    public void checkpointed(long logBytes, long blockedNanos) {
        metrics.checkpointTook(blockedNanos);
    }

    @Override
    public void flushed(int transactions) {
        metrics.flushed();
    }

    @Override
    public void maintenanceFailed(MetadataException failure) {
        LOG.log(WARNING, "maintenance of the metadata failed and will be tried again", failure);
    }

    @Override
    public void noRoom(MetadataException failure) {
        LOG.log(WARNING, "the filesystem of the metadata is full: what is removed makes room", failure);
    }

    @Override
    public void notNoted(IOException failure) {
        LOG.log(
                WARNING,
                "the last transaction can't be noted in the runtime directory; the next start would not find that it is lost",
                failure);
    }

    @Override
    public void tailLost(long transactions) {
        LOG.log(
                WARNING,
                "the newest records are lost: the filesystem of the root was mounted anew, and what was not on disk is gone",
                "transactions",
                transactions);
    }

    @Override
    public void notedAgain() {
        LOG.log(
                WARNING,
                "the note of the last transaction was deleted from the runtime directory; it is written again");
    }

    @Override
    public void writesRefused(MetadataException failure) {
        LOG.log(ERROR, "metadata can't be written; changes are refused while it is written anew from memory", failure);
    }

    @Override
    public void rebuildFailed(MetadataException failure, int attempt) {
        metrics.metadataRebuilt(RebuildOutcome.FAILED);
        if (attempt == 1) {
            LOG.log(WARNING, "metadata can't be written anew yet; it will be tried until it can", failure);
        }
    }

    @Override
    public void rebuilt(long refusedNanos) {
        metrics.metadataRebuilt(RebuildOutcome.DONE);
        LOG.log(
                INFO,
                "metadata was written anew from memory; changes are accepted again",
                "refused_millis",
                TimeUnit.NANOSECONDS.toMillis(refusedNanos));
    }
}
