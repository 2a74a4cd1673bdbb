/**
 * Checks that what several threads did to something at the same time can be explained by doing it one after the other. For
 * tests; knows nothing of this project.
 */
@NullMarked
package io.github.volatilesnapshotter.history;

import org.jspecify.annotations.NullMarked;
