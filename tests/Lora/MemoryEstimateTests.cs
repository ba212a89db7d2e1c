using CudaLora.Engine;
using CudaLora.Kernels.Emulator;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>Predicted and then measured, within 5 %; alone, as the device's figures are those of all threads.</summary>
[Collection("threads")]
public class MemoryEstimateTests
{
    [Theory]
    [InlineData(ModelFamily.Llama, 8, false, false, true)]
    [InlineData(ModelFamily.Llama, 8, false, true, false)]
    [InlineData(ModelFamily.Llama, 8, true, false, true)]
    [InlineData(ModelFamily.Llama, 0, false, false, false)]
    [InlineData(ModelFamily.Llama, 0, true, true, false)]
    [InlineData(ModelFamily.Qwen3, 16, false, false, true)]
    [InlineData(ModelFamily.Gpt2, 8, false, false, true)]
    [InlineData(ModelFamily.Gpt2, 8, true, false, false)]
    public void Prediction_IsWithinFivePercent(
        ModelFamily family, int rank, bool checkpointing, bool eightBit, bool quantized)
    {
        const int batch = 6, length = 50;
        Device.Cpu.TrimPool();
        var before = Device.Cpu.Memory.InUse;
        var options = quantized ? new QuantizationOptions { DoubleQuant = true } : null;
        using var model = CausalLM.Create(Config(family), 1, quantization: options);
        Device.Cpu.TrimPool();
        model.GradientCheckpointing = checkpointing;
        model.Training = true;
        var config = new LoraConfig { R = Math.Max(1, rank), TargetModules = ModuleSelector.AllLinear };
        IFineTuning method = rank > 0
            ? new LoraFineTuning(LoraAdapter.Create(model, config, new Generator(1)))
            : new FullFineTuning(model);
        var arguments = TrainerTests.Arguments("unused") with { Optim = eightBit ? "paged_adamw_8bit" : "paged_adamw" };
        using var runner = new StepRunner(arguments, method, new Sft());
        var ids = Enumerable.Range(0, length + 1).Select(i => 3 + (i * 7 % 90)).ToArray();
        var examples = Enumerable.Repeat(new SftExample(ids, ids), batch).ToArray();
        var data = new Batcher(examples, new BatcherOptions { BatchSize = batch });
        runner.Run(data, 1, 1);
        Device.Cpu.ResetPeakMemory();
        runner.Run(data, 1, 1);
        var measured = Device.Cpu.Memory.Peak - before;

        var weights = model.Parameters().Select(p => p.Value.ByteCount)
            .Concat(model.Linears().Where(l => l.Quantized is not null).SelectMany(l => l.Quantized!.PartBytes));
        var predicted = MemoryEstimate.Of(
            model.Config, weights, new StepSize(batch, length + 1, rank, checkpointing, eightBit));
        Assert.True(
            Math.Abs(predicted.Total - measured) <= 0.05 * measured,
            $"predicted {predicted.Total} ({predicted}), measured {measured}");
        (method as LoraFineTuning)?.Adapter.Dispose();
    }

    [Theory]
    [InlineData(DType.F32, 8, false, "adamw", false)]
    [InlineData(DType.BF16, 8, false, "adamw", true)]
    [InlineData(DType.BF16, 8, true, "paged_adamw", true)]
    [InlineData(DType.BF16, 16, false, "paged_adamw_8bit", true)]
    [InlineData(DType.BF16, 0, false, "adamw_8bit", false)]
    [InlineData(DType.BF16, 0, true, "paged_adamw_8bit", false)]
    public void OnTheEmulator_ItIsTooWithEveryOptimizer(
        DType activations, int rank, bool checkpointing, string optim, bool quantized)
    {
        // Enough tokens that what an op needs for itself is small beside them.
        const int batch = 16, length = 60;
        using var folder = new TemporaryFolder();
        using (var dense = CausalLM.Create(Config(ModelFamily.Llama), 1))
            dense.Save(folder.Path);
        using var device = new CudaDevice(new EmulatedDriver(new EmulatorOptions { Checks = false }), ownsDriver: true);
        var placement = activations == DType.BF16
            ? ModelPlacement.On(device, trainAll: rank == 0)
            : new ModelPlacement { Device = device };
        var options = quantized ? new QuantizationOptions { DoubleQuant = true } : null;
        using var model = CausalLM.Load(folder.Path, placement, options);
        (model.GradientCheckpointing, model.Training) = (checkpointing, true);
        var config = new LoraConfig { R = Math.Max(1, rank), TargetModules = ModuleSelector.AllLinear };
        IFineTuning method = rank > 0
            ? new LoraFineTuning(LoraAdapter.Create(model, config, new Generator(1)))
            : new FullFineTuning(model);
        using var runner = new StepRunner(
            TrainerTests.Arguments("unused") with { Optim = optim, CudaGraphs = false }, method, new Sft());
        var ids = Enumerable.Range(0, length + 1).Select(i => 3 + (i * 7 % 90)).ToArray();
        var examples = Enumerable.Repeat(new SftExample(ids, ids), batch).ToArray();
        var data = new Batcher(examples, new BatcherOptions { BatchSize = batch });
        runner.Run(data, 1, 1);
        device.ResetPeakMemory();
        runner.Run(data, 1, 1);
        var measured = device.Memory.Peak;
        var weights = model.Parameters().Select(p => p.Value.ByteCount)
            .Concat(model.Linears().Where(l => l.Quantized is not null).SelectMany(l => l.Quantized!.PartBytes));
        var predicted = MemoryEstimate.Of(
            model.Config, weights,
            new StepSize(
                batch, length + 1, rank, checkpointing, OptimizerNames.IsEightBit(optim),
                OptimizerNames.IsPaged(optim), activations));
        Assert.True(
            Math.Abs(predicted.Total - measured) <= 0.05 * measured,
            $"predicted {predicted.Total} ({predicted}), measured {measured}");
        (method as LoraFineTuning)?.Adapter.Dispose();
    }

    // The 4-bit model and one layer: its floats, and its scales before they are codes themselves.
    [Fact]
    public void LoadingIn4Bit_HoldsOneLayerOfFloats()
    {
        using var folder = new TemporaryFolder();
        using (var dense = CausalLM.Create(Config(ModelFamily.Llama), 1))
            dense.Save(folder.Path);
        Device.Cpu.TrimPool();
        var before = Device.Cpu.Memory.InUse;
        Device.Cpu.ResetPeakMemory();
        using var model = CausalLM.Load(folder.Path, quantization: new QuantizationOptions { DoubleQuant = true });
        var (left, peak) = (Device.Cpu.Memory.InUse - before, Device.Cpu.Memory.Peak - before);
        var layer = Device.PooledSize(64 * 160 * 4);
        Assert.InRange(peak - left, 0, layer + (layer / 16));
        Assert.True(left < 0.5 * model.ParameterCount * sizeof(float));
    }

    private static ModelConfig Config(ModelFamily family) => new()
    {
        Family = family,
        VocabSize = 300,
        HiddenSize = 64,
        IntermediateSize = 160,
        Layers = 4,
        Heads = 4,
        KeyValueHeads = family == ModelFamily.Gpt2 ? 4 : 2,
        HeadDim = 16,
        MaxPositions = 64,
        TieWordEmbeddings = true,
        QkvBias = family == ModelFamily.Gpt2,
        AttentionOutputBias = family == ModelFamily.Gpt2,
        MlpBias = family == ModelFamily.Gpt2,
        Activation = family == ModelFamily.Gpt2 ? Activation.GeluTanh : Activation.Silu,
    };
}
