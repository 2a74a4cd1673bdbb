package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Device;
import java.time.Instant;

/**
 * A superblock's change from one state to another.
 *
 * @param reason for people: what was seen, with its errno
 */
public record Transition(Device device, State from, State to, String reason, Instant at) {}
