/**
 * Named points at which a test ends the process, so that it dies between two steps. Off in every daemon that was not started for such a
 * test. Any room that takes such steps may name them here; knows nothing but {@code linux}.
 */
@NullMarked
package io.github.volatilesnapshotter.crash;

import org.jspecify.annotations.NullMarked;
