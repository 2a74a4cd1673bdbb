/** The client of containerd's own socket, and the reactor that acts on poison from a thread of its own. Hears of poison from the room snapshot. */
@NullMarked
package io.github.volatilesnapshotter.containerd;

import org.jspecify.annotations.NullMarked;
