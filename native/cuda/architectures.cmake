# The GPUs that the plug-in is compiled for: machine code for each generation that the toolkit knows (it runs on all
# of a generation), and PTX of the newest common one, which drivers compile for GPUs that are still to come. A user's
# CMAKE_CUDA_ARCHITECTURES (native, 90, ...) is left alone.
if(DEFINED CMAKE_CUDA_ARCHITECTURES OR DEFINED ENV{CUDAARCHS})
  macro(choose_architectures)
  endmacro()
else()
  # Set before the language is enabled, or CMake chooses one by itself.
  set(CMAKE_CUDA_ARCHITECTURES 80)
  macro(choose_architectures)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
      set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 90)  # Turing, Ampere and Ada, Hopper
    else()
      set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 90-real 100 120-real)  # and both Blackwells
    endif()
  endmacro()
endif()
