// Builds the add-on: with CMake where it is found, else with node-gyp (which wants Python and make).
import { buildWithCmake, buildWithGyp, has } from './lib.mjs';

if (has('cmake')) buildWithCmake();
else if (has('python3') || has('python')) buildWithGyp();
else {
  console.error(
    'To build the add-on, expected CMake (3.22 or newer), or Python and make, beside a C++20 compiler; found neither. Install one of them and run: npm run build:native',
  );
  process.exit(1);
}
