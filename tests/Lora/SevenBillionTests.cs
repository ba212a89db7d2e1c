using System.Diagnostics;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>The size of Llama 2 7B with random weights. Minutes, and 8 GB: run by name with -explicit only.</summary>
[Collection("threads")]
public class SevenBillionTests
{
    private const long Limit = 8_000_000_000;

    [Fact(Explicit = true)]
    public void RandomModel_IsMadeInNf4AndTrainsAStepWithin8GB()
    {
        var config = new ModelConfig
        {
            Family = ModelFamily.Llama,
            VocabSize = 32000,
            HiddenSize = 4096,
            IntermediateSize = 11008,
            Layers = 32,
            Heads = 32,
            KeyValueHeads = 32,
            HeadDim = 128,
            MaxPositions = 4096,
            NormEps = 1e-5,
        };
        const int tokens = 64;
        Device.Cpu.TrimPool();
        Device.Cpu.ResetPeakMemory();
        var watch = Stopwatch.StartNew();
        using var model = CausalLM.Create(config, 1, quantization: new QuantizationOptions { DoubleQuant = true });
        Device.Cpu.TrimPool();
        var loading = Device.Cpu.Memory.Peak;
        var made = watch.Elapsed;
        model.GradientCheckpointing = true;
        model.Training = true;
        using var adapter = LoraAdapter.Create(
            model, new LoraConfig { R = 8, TargetModules = ModuleSelector.AllLinear }, new Generator(1));
        using var runner = new StepRunner(
            TrainerTests.Arguments("unused") with { Optim = "adamw_8bit" }, new LoraFineTuning(adapter), new Sft());
        var ids = Enumerable.Range(0, tokens).Select(i => 3 + (i * 977 % 31000)).ToArray();
        var data = new Batcher([new SftExample(ids, ids)], new BatcherOptions { BatchSize = 1 });
        Device.Cpu.ResetPeakMemory();
        watch.Restart();
        var outcome = runner.Run(data, 1, 1);
        using var process = Process.GetCurrentProcess();
        var predicted = MemoryEstimate.Of(
            config,
            model.Parameters().Select(p => p.Value.ByteCount)
                .Concat(model.Linears().Where(l => l.Quantized is not null).SelectMany(l => l.Quantized!.PartBytes)),
            new StepSize(1, tokens, 8, true, true));
        var figures = $"made in {made.TotalSeconds:f0} s, peak {loading / 1e9:f2} GB; step in "
            + $"{watch.Elapsed.TotalSeconds:f1} s, peak {Device.Cpu.Memory.Peak / 1e9:f2} GB, predicted "
            + $"{predicted.Total / 1e9:f2} GB; process {process.PeakWorkingSet64 / 1e9:f2} GB; loss {outcome.Loss:f3}";
        TestContext.Current.TestOutputHelper?.WriteLine(figures);

        Assert.True(process.PeakWorkingSet64 < Limit, figures);
        Assert.Equal(Device.Cpu.Memory.Peak, predicted.Total, 0.05 * predicted.Total);
        // Random weights know nothing: the loss of an even guess, and a gradient for B.
        Assert.Equal(Math.Log(32000), outcome.Loss, 1.0);
        Assert.True(outcome.GradNorm > 0);
    }
}
