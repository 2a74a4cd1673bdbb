/** The unix socket server, the Snapshots and health services, and the one mapping from errors to gRPC status. Knows the room snapshot only. */
@NullMarked
package io.github.volatilesnapshotter.grpc;

import org.jspecify.annotations.NullMarked;
