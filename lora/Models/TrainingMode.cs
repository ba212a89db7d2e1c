namespace CudaLora.Lora;

/// <summary>
/// A model in training or out of it until disposed, whatever happens meanwhile. Nothing is written where the mode is
/// the one asked for, so threads that generate with one model do not disturb each other.
/// </summary>
internal readonly ref struct TrainingMode
{
    private readonly CausalLM model;
    private readonly bool former;

    private TrainingMode(CausalLM model, bool training)
    {
        (this.model, former) = (model, model.Training);
        if (former != training)
            model.Training = training;
    }

    /// <summary>Dropout on.</summary>
    public static TrainingMode On(CausalLM model) => new(model, true);

    /// <summary>Dropout off.</summary>
    public static TrainingMode Off(CausalLM model) => new(model, false);

    /// <summary>Puts the former mode back.</summary>
    public void Dispose()
    {
        if (model.Training != former)
            model.Training = former;
    }
}
