/**
 * The snapshotter itself: what each request does to records, directories and mounts, and what happens to a damaged upper.
 * It stands on {@code metadata} (records), {@code superblock} (writeback errors) and {@code linux} (system calls), and
 * knows nothing of gRPC or of containerd's client API.
 */
@NullMarked
package io.github.volatilesnapshotter.snapshot;

import org.jspecify.annotations.NullMarked;
