/**
 * Disks that fail on command, and what the kernel says about them: the ground that tests of errors stand on.
 * It uses plain commands and files of the kernel, and none of the snapshotter's own rooms, so that it can be used to
 * test them. See {@code docs/fault-lab.md}.
 */
@NullMarked
package io.github.volatilesnapshotter.lab;

import org.jspecify.annotations.NullMarked;
