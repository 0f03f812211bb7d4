{
  # The CPU add-on for machines without CMake. Sources, definitions and flags come from native/sources.json, which
  # CMakeLists.txt reads too; test/builders.test.ts proves that both see the same.
  "variables": {
    "sources_json": "JSON.parse(require('fs').readFileSync('native/sources.json'))"
  },
  "targets": [
    {
      "target_name": "perception_r1",
      "sources": ["<!@(node -p \"const s=<(sources_json);[...s.core,...s.node].join(' ')\")"],
      "defines": ["<!@(node -p \"<(sources_json).defines.join(' ')\")"],
      "include_dirs": [
        "<!@(node -p \"<(sources_json).include.join(' ')\")",
        "<!(node -p \"require('node-addon-api').include_dir\")"
      ],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["-std=c++20", "-O3", "<!@(node -p \"<(sources_json).flags.join(' ')\")"],
      "ldflags": ["-pthread"],
      "conditions": [["OS=='linux'", { "libraries": ["-ldl"] }]],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
        "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
        "MACOSX_DEPLOYMENT_TARGET": "11.0",
        "OTHER_CPLUSPLUSFLAGS": ["<!@(node -p \"<(sources_json).flags.join(' ')\")"]
      },
      "msvs_settings": { "VCCLCompilerTool": { "ExceptionHandling": 1, "AdditionalOptions": ["/std:c++20"] } }
    }
  ]
}
