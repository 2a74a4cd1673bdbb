/** The command lines. They wire the other rooms together and hold no logic of their own. */
@NullMarked
package io.github.volatilesnapshotter.cli;

import org.jspecify.annotations.NullMarked;
