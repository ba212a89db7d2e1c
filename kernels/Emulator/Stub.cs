#pragma warning disable
using CudaLora.Kernels.Ptx;
namespace CudaLora.Kernels.Emulator;
internal static unsafe partial class Instructions
{
    private static void DecodeRemoteStore(InstructionBuilder b) => throw b.Unsupported("x");
    private static void DecodeRemoteReduction(InstructionBuilder b) => throw b.Unsupported("x");
    private static void DecodeClusterBarrier(InstructionBuilder b) => throw b.Unsupported("x");
}
internal sealed class WgmmaState(int n) { public void Reset() { } public void Check(Warp w, Instruction i) { } }
internal sealed class BulkStore : AsyncOperation { public bool SourceRead; public Warp Warp = null!; public FaultSignal Early(string m) => throw new InvalidOperationException(); protected override void Complete(Cluster cluster) { } }
internal sealed class BulkLoad : AsyncOperation { public FaultSignal Early(string m) => throw new InvalidOperationException(); protected override void Complete(Cluster cluster) { } }
internal sealed unsafe partial class Warp { private void ResetAsync() { } }
