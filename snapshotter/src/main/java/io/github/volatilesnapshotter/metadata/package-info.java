/** Records of snapshots and their transactions, and containerd's filter language. Durable and ordered: see SnapshotStore. Knows no other room. */
@NullMarked
package io.github.volatilesnapshotter.metadata;

import org.jspecify.annotations.NullMarked;
