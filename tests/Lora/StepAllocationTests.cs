using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

[Collection("threads")]
public class StepAllocationTests
{
    [Fact]
    public void WarmStep_AllocatesNoNativeMemoryAndTwoSmallObjectsPerOp()
    {
        using var model = TrainerTests.TinyModel();
        var random = new Generator(1);
        using var adapter = LoraAdapter.Create(model, TrainerTests.Config(0.1), random);
        using var runner = new StepRunner(TrainerTests.Arguments("unused"), new LoraFineTuning(adapter), new Sft());
        var data = new Batcher(TrainerTests.Examples(16, length: 24), new BatcherOptions { BatchSize = 4 });
        model.Training = true;
        for (var i = 0; i < 8; i++)
            runner.Run(data, 1, 1);

        var counter = new OpCounter();
        Op.Observer = counter;
        runner.Run(data, 1, 1);
        Op.Observer = null;
        var native = Device.Cpu.Memory.NativeAllocations;
        var before = GC.GetAllocatedBytesForCurrentThread();
        runner.Run(data, 1, 1);
        var bytes = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.Equal(native, Device.Cpu.Memory.NativeAllocations);
        // An op node is about 250 bytes (inline slots), a tensor handle about 120: two small objects, no arrays.
        Assert.True(bytes <= counter.Forward * 450L, $"{bytes} bytes for {counter.Forward} ops");
    }

    private sealed class OpCounter : IOpObserver
    {
        public int Forward { get; private set; }

        public void Before(Op op, OpPhase phase) => Forward += phase == OpPhase.Forward ? 1 : 0;

        public void After(Op op, OpPhase phase)
        {
        }
    }
}
