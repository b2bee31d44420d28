# Install rules: headers, library, command, CMake package and .pc file.
