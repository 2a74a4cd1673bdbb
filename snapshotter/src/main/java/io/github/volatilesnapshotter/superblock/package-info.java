/** What is known of one superblock's writeback-error state, and how to ask without consuming it. Stands on linux alone. */
@NullMarked
package io.github.volatilesnapshotter.superblock;

import org.jspecify.annotations.NullMarked;
